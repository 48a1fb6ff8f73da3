import { AssetHash, JobStatus, Moment, Progress, SecretText, Workflow } from "@comfyq/contract";
import * as z from "zod";

// As published: `@comfyorg/sdk` 0.1.9, src/low/generated/types.gen.ts.

/** What may be sent to `POST /api/v2/jobs`: closed, so that a misspelt field is an error. */
export const V2NewJob = z
  .strictObject({
    workflow: z.record(z.string(), z.unknown()).meta({ description: "A graph in ComfyUI's API format" }),
    extra_data: z
      .strictObject({ api_key_comfy_org: SecretText.optional().meta({ description: "For partner nodes; sealed" }) })
      .optional(),
  })
  .meta({ id: "V2NewJob" });

export const V2Output = z
  .object({
    node_id: z.string(),
    name: z.string(),
    type: z.enum(["image", "video", "audio", "text", "file", "latent"]),
    content_type: z.string(),
    size_bytes: z.int(),
    id: z.string().meta({ description: "Of an asset" }),
    hash: z.string().nullable(),
    url: z.string(),
    url_expires_at: Moment,
    job_id: z.string(),
  })
  .meta({ id: "V2Output" });
export type V2Output = z.infer<typeof V2Output>;

export const V2Job = z
  .object({
    id: z.string(),
    status: JobStatus,
    created_at: Moment,
    started_at: Moment.nullable(),
    completed_at: Moment.nullable(),
    expires_at: Moment,
    queue_position: z.int().nullable(),
    progress: Progress.nullable(),
    outputs: z.array(V2Output),
    error: z
      .object({
        code: z.string(),
        message: z.string(),
        node_id: z.string().nullable(),
        class_type: z.string().nullable(),
        traceback: z.null(),
      })
      .nullable(),
    metrics: z.record(z.string(), z.int().nullable()),
    urls: z.object({ self: z.string(), events: z.string(), cancel: z.string() }),
  })
  .meta({ id: "V2Job" });
export type V2Job = z.infer<typeof V2Job>;

export const V2Workflow = z.object({ workflow: Workflow, format: z.literal("api") }).meta({ id: "V2JobWorkflow" });

const Retention = z.coerce.number().int().min(60).max(604_800);
const FilePath = z.string().min(1).max(1_024);

/** The fields beside the file of `POST /api/v2/assets`. */
export const V2AssetForm = z.strictObject({
  content_type: z.string().min(1).max(255),
  file_path: FilePath,
  expected_hash: AssetHash.optional(),
  tags: z.array(z.string().max(255)).optional(),
  expires_in: Retention.optional().meta({ description: "Checked; all assets are kept alike" }),
});

export const V2FromHash = z
  .strictObject({
    hash: z.string(),
    file_path: FilePath.optional(),
    tags: z.array(z.string().max(255)).optional(),
    expires_in: z.int().min(60).max(604_800).optional(),
  })
  .meta({ id: "V2FromHash" });

export const V2Asset = z
  .object({
    id: z.string(),
    hash: z.string().nullable(),
    size_bytes: z.int(),
    content_type: z.string(),
    file_path: z.string().nullable(),
    created_new: z.boolean().optional(),
    created_at: Moment,
    url: z.string(),
    url_expires_at: Moment,
    expires_at: Moment.nullable(),
    job_id: z.string().nullable(),
  })
  .meta({ id: "V2Asset" });
export type V2Asset = z.infer<typeof V2Asset>;
