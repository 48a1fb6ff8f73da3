import { join, resolve } from "node:path";
import { CacheMode } from "@comfyq/contract";
import { MODEL_SETTINGS, SHARED_SETTINGS } from "@comfyq/runtime";
import * as z from "zod";

const bytes = z.coerce.number().int().min(1_024);

/** The settings of the API. What it shares with other processes stands in runtime's `SHARED_SETTINGS`. */
export const ApiEnv = z.object({
  ...SHARED_SETTINGS,
  ...MODEL_SETTINGS,
  COMFYQ_HOST: z.string().default("127.0.0.1").describe("Address to listen on; anything but loopback needs an API key"),
  COMFYQ_PORT: z.coerce.number().int().min(0).max(65_535).default(8_190).describe("Port to listen on; 0: any free one"),
  COMFYQ_PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ""))
    .optional()
    .describe("Address that customers use, for links; without it the Host header of each request is used"),
  COMFYQ_KEYS_FILE: z.string().optional().describe("API keys, as `comfyq keys` writes them; default <data>/keys.json"),
  COMFYQ_LIMITS_FILE: z
    .string()
    .optional()
    .describe("What each tenant may use, see limits.md; default <data>/limits.json"),
  COMFYQ_QUEUE_CAP: z.coerce
    .number()
    .int()
    .min(1)
    .default(100_000)
    .describe("Jobs that may wait in one pool before new ones are refused with 503"),
  COMFYQ_OPERATOR_KEY: z
    .string()
    .min(16)
    .optional()
    .describe("Opens Bull Board for changes, and at all when not on loopback"),
  COMFYQ_LINK_SECRET: z
    .string()
    .min(32)
    .optional()
    .describe("Signs links to files of a folder store; default: made once in <data>/secrets/link-secret"),
  COMFYQ_WEBHOOK_SECRET: z
    .string()
    .min(32)
    .optional()
    .describe("Tenants' webhook secrets come from it; default: made once in <data>/secrets/webhook-secret"),
  COMFYQ_SECRETS_KEY: z
    .string()
    .min(32)
    .optional()
    .describe(
      "Encrypts the secrets of jobs and webhooks; the same for all processes; default: made once in <data>/secrets",
    ),
  COMFYQ_LINK_TTL_S: z.coerce
    .number()
    .int()
    .min(10)
    .max(604_800)
    .default(3_600)
    .describe("Seconds a link to a file works"),
  // 10 MB, not 1: inputs may be data: URIs. The graph itself stays below 1 MB (submit/readSubmission.ts).
  COMFYQ_MAX_BODY_BYTES: bytes.default(10_000_000).describe("Largest body of POST /v1/jobs; data: URIs need the room"),
  COMFYQ_MAX_ASSET_BYTES: bytes.default(1_073_741_824).describe("Largest file of POST /v1/assets"),
  COMFYQ_ASSET_TYPES: z
    .string()
    .default("")
    .transform((text) => text.split(",").flatMap((type) => type.trim().toLowerCase() || []))
    .refine((types) => types.every((type) => /^[a-z0-9.+-]+\/(?:\*|[a-z0-9.+-]+)$/.test(type)), "image/*,video/mp4")
    .describe("Content types that may be uploaded, such as image/*,video/mp4; without it all"),
  COMFYQ_EDITOR_DIR: z
    .string()
    .optional()
    .describe("Folder of the static files of ComfyUI's own editor, to be served at /; without it there is none"),
  COMFYQ_CACHE: CacheMode.extract(["off", "use"])
    .default("off")
    .describe("What a job without `cache` does: use gives it the stored result of an identical one"),
  COMFYQ_MAX_STREAMS: z.coerce
    .number()
    .int()
    .min(1)
    .default(1_000)
    .describe("Event streams open at once in this process"),
});
export type ApiSettings = z.output<typeof ApiEnv>;

/** Where the limits of tenants are read from. */
export function limitsFilePath(settings: ApiSettings): string {
  return resolve(settings.COMFYQ_LIMITS_FILE ?? join(settings.COMFYQ_DATA_DIR, "limits.json"));
}

/** Where the API keys are read from. */
export function keysFilePath(settings: ApiSettings): string {
  return resolve(settings.COMFYQ_KEYS_FILE ?? join(settings.COMFYQ_DATA_DIR, "keys.json"));
}
