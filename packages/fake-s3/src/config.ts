import { parseArgs } from "node:util";
import { DIALECTS, type Dialect } from "./dialect.ts";
import type { FakeS3Options } from "./startFakeS3.ts";

/** What the command line says; every flag may also stand in the environment as `FAKE_S3_…`. */
export interface FakeS3Config extends FakeS3Options {
  readonly upBytesPerSecond: number | undefined;
  readonly downBytesPerSecond: number | undefined;
}

const FLAGS = {
  host: { type: "string", default: process.env["FAKE_S3_HOST"] ?? "127.0.0.1" },
  port: { type: "string", default: process.env["FAKE_S3_PORT"] ?? "0" },
  dir: { type: "string", default: process.env["FAKE_S3_DIR"] ?? "" },
  bucket: { type: "string", multiple: true, default: (process.env["FAKE_S3_BUCKET"] ?? "comfyq").split(",") },
  dialect: { type: "string", default: process.env["FAKE_S3_DIALECT"] ?? "aws" },
  "access-key": { type: "string", default: process.env["FAKE_S3_ACCESS_KEY"] ?? "comfyq" },
  "secret-key": { type: "string", default: process.env["FAKE_S3_SECRET_KEY"] ?? "comfyq-secret" },
  "up-bytes-per-second": { type: "string", default: process.env["FAKE_S3_UP_BYTES_PER_SECOND"] ?? "" },
  "down-bytes-per-second": { type: "string", default: process.env["FAKE_S3_DOWN_BYTES_PER_SECOND"] ?? "" },
  "forget-above-bytes": { type: "string", default: process.env["FAKE_S3_FORGET_ABOVE_BYTES"] ?? "" },
} as const;

/**
 * Reads the command line of `main.ts`.
 * @throws TypeError for an unknown flag or a number that is none
 */
export function readConfig(args: readonly string[]): FakeS3Config {
  const { values } = parseArgs({ args: [...args], options: FLAGS });
  return {
    host: values.host,
    port: count("--port", values.port) ?? 0,
    dir: values.dir === "" ? undefined : values.dir,
    buckets: values.bucket,
    dialect: dialectOf(values.dialect),
    accessKeyId: values["access-key"],
    secretAccessKey: values["secret-key"],
    forgetAboveBytes: count("--forget-above-bytes", values["forget-above-bytes"]),
    upBytesPerSecond: count("--up-bytes-per-second", values["up-bytes-per-second"]),
    downBytesPerSecond: count("--down-bytes-per-second", values["down-bytes-per-second"]),
  };
}

function dialectOf(text: string): Dialect {
  const dialect = DIALECTS.find((known) => known === text);
  if (!dialect) throw new TypeError(`--dialect must be one of ${DIALECTS.join(", ")}, not ${text}`);
  return dialect;
}

function count(flag: string, text: string): number | undefined {
  if (text === "") return undefined;
  if (!/^\d+$/.test(text)) throw new TypeError(`${flag} must be a whole number, not ${text}`);
  return Number(text);
}
