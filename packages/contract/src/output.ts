import * as z from "zod";
import { JobId, Moment } from "./ids.ts";
import type { OutputOptions } from "./outputOptions.ts";

export const OutputType = z.enum(["image", "video", "audio", "3d", "text", "latent", "file", "value"]);
export type OutputType = z.infer<typeof OutputType>;

/** A small picture of a stored one. */
export const StoredThumbnail = z.object({
  name: z.string().meta({ description: "Unique within the job, among its outputs too" }),
  content_type: z.string(),
  size_bytes: z.int().nonnegative(),
  width: z.int().positive(),
  height: z.int().positive(),
  key: z.string(),
});
export type StoredThumbnail = z.infer<typeof StoredThumbnail>;

/** One stored file as the manifest has it: where the bytes are and what they must hash to. */
export const StoredFile = z.object({
  node_id: z.string(),
  name: z.string().meta({ description: "Unique within the job; the customer's own file name where possible" }),
  type: OutputType,
  content_type: z.string(),
  size_bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Object key in the bucket or folder, under the attempt's own prefix. */
  key: z.string(),
  thumbnail: StoredThumbnail.optional(),
  warnings: z.array(z.string()).optional(),
});
export type StoredFile = z.infer<typeof StoredFile>;

/** A plain value that a node returned (text, number, JSON): a result too, though no file. */
export const StoredValue = z.object({
  node_id: z.string(),
  name: z.string(),
  type: z.literal("value"),
  value: z.unknown(),
});
export type StoredValue = z.infer<typeof StoredValue>;

/** The list of a job's results; written last, once, under `If-None-Match`. Succeeded means sealed. */
export const Manifest = z.object({
  v: z.literal(1),
  job_id: JobId,
  /** The attempt that sealed; its files lie under `jobs/<job>/<epoch>/`, or the customer's own prefix. */
  epoch: z.int().positive(),
  prompt_id: z.string(),
  instance: z.string(),
  sealed_at: Moment,
  cached: z.boolean(),
  /** The job of the same tenant that rendered these files; they were copied from it. */
  cached_from: JobId.optional(),
  metrics: z.object({ prepare_ms: z.number(), render_ms: z.number(), store_ms: z.number() }),
  outputs: z.array(z.union([StoredValue, StoredFile])),
});
export type Manifest = z.infer<typeof Manifest>;

/** One result as the customer sees it: a file with a fresh link, or a value. */
export const Output = z
  .object({
    node_id: z.string(),
    name: z.string(),
    type: OutputType,
    content_type: z.string().optional(),
    size_bytes: z.int().nonnegative().optional(),
    hash: z.string().optional().meta({ description: "sha256:<hex> of the bytes" }),
    url: z.string().optional().meta({ description: "Fresh link, made for this answer" }),
    url_expires_at: Moment.optional(),
    data_base64: z.string().optional().meta({ description: "The bytes, of a job with `output.inline`" }),
    thumbnail: StoredThumbnail.omit({ key: true })
      .extend({ url: z.string(), url_expires_at: Moment.optional() })
      .optional(),
    warnings: z
      .array(z.string())
      .optional()
      .meta({ description: "What was asked for this file and could not be done; the file is as ComfyUI made it" }),
    value: z.unknown().optional(),
  })
  .meta({ id: "Output" });
export type Output = z.infer<typeof Output>;

/** Every key of one job starts with this. */
export function jobPrefix(jobId: string): string {
  return `jobs/${jobId}/`;
}

/** Where the manifest of a job stands: one place, whoever seals it. */
export function manifestKey(jobId: string): string {
  return `${jobPrefix(jobId)}manifest.json`;
}

/** Where the files of one job stand; elsewhere than its manifest when the customer named a prefix. */
export function filesPrefix(jobId: string, output: OutputOptions | undefined): string {
  return output?.prefix === undefined ? jobPrefix(jobId) : `${output.prefix}/${jobId}/`;
}

/** Where one attempt may write; a late ghost has another epoch and therefore another place. */
export function attemptPrefix(jobId: string, epoch: number, output?: OutputOptions): string {
  return `${filesPrefix(jobId, output)}${epoch}/`;
}
