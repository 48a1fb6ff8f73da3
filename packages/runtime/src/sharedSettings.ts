import { join, resolve } from "node:path";
import * as z from "zod";
import { LOG_LEVELS } from "./logger.ts";

const yesNo = z.stringbool();

/** Settings that mean the same to every process; spread into each `config.ts`, so that each stands in one place. */
export const SHARED_SETTINGS = {
  REDIS_URL: z
    .string()
    .default("redis://127.0.0.1:6379")
    .describe("Redis: redis://, rediss:// or the path of a unix socket"),
  COMFYQ_PREFIX: z
    .string()
    .regex(/^[\w{}-]+$/)
    .default("comfyq")
    .describe("First part of every Redis key; in braces for Redis Cluster"),
  COMFYQ_DATA_DIR: z.string().default("./data").describe("Folder for files, secrets and logs"),
  COMFYQ_LOG_LEVEL: z.enum(LOG_LEVELS).default("info").describe("How much is logged"),
  COMFYQ_RETENTION_DAYS: z.coerce.number().positive().default(7).describe("Days an ended job and its files are kept"),
  COMFYQ_ALLOW_HOSTS: z
    .string()
    .default("")
    .transform((text) =>
      text
        .split(",")
        .map((host) => host.trim())
        .filter((host) => host !== ""),
    )
    .describe(
      "Private hosts, IPs or CIDRs that inputs and webhooks may reach, comma separated; ports but 80, 443: host:port, host:*",
    ),
  COMFYQ_ALLOW_UNSAFE_REDIS: yesNo
    .default(false)
    .describe("Accept a Redis that can lose jobs (no AOF, or an evicting policy); for trials only"),
  COMFYQ_PRINT_READY: yesNo.default(false).describe("Print one JSON line on stdout when ready (for launchers)"),
  S3_BUCKET: z.string().optional().describe("Bucket for files; without it they go to the data folder"),
  S3_PREFIX: z.string().default("").describe("First part of every object key"),
  S3_ENDPOINT: z.url().optional().describe("Endpoint of an S3-compatible store; without it AWS"),
  S3_PUBLIC_ENDPOINT: z.url().optional().describe("Endpoint as customers reach it, for links; default S3_ENDPOINT"),
  S3_FORCE_PATH_STYLE: yesNo
    .optional()
    .describe("Bucket in the path instead of the host name; default: when S3_ENDPOINT is set"),
  S3_CHECKSUMS: z
    .enum(["when_supported", "when_required"])
    .default("when_supported")
    .describe("when_required for S3 clones that do not know today's checksums"),
  AWS_REGION: z.string().optional().describe("Region of the bucket; credentials come the usual AWS ways"),
} as const;

/** The shared settings, read. */
export type SharedSettings = z.output<z.ZodObject<typeof SHARED_SETTINGS>>;

/** Where files go: `s3://bucket/prefix`, or the folder below the data folder. What `openStorage` takes. */
export function storageUrl(settings: SharedSettings): string {
  if (settings.S3_BUCKET === undefined) return join(resolve(settings.COMFYQ_DATA_DIR), "files");
  return `s3://${[settings.S3_BUCKET, settings.S3_PREFIX].filter((part) => part !== "").join("/")}`;
}

/** How that place is opened: the options of `openStorage`. */
export function storageOptions(settings: SharedSettings) {
  return {
    region: settings.AWS_REGION,
    endpoint: settings.S3_ENDPOINT,
    linkEndpoint: settings.S3_PUBLIC_ENDPOINT,
    forcePathStyle: settings.S3_FORCE_PATH_STYLE,
    checksums: settings.S3_CHECKSUMS,
  };
}

/** Where a secret of this installation is kept when the environment names none. */
export function secretPath(settings: SharedSettings, name: "link-secret" | "webhook-secret" | "secrets-key"): string {
  return join(resolve(settings.COMFYQ_DATA_DIR), "secrets", name);
}

const DAY_MS = 24 * 3_600_000;

/** How long ended jobs are kept, in ms. */
export function retentionMs(settings: SharedSettings): number {
  return settings.COMFYQ_RETENTION_DAYS * DAY_MS;
}
