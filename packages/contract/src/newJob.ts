import * as z from "zod";
import { CacheMode } from "./cacheMode.ts";
import { Moment, PoolName } from "./ids.ts";
import { OutputOptions } from "./outputOptions.ts";
import { JobSecrets } from "./secrets.ts";
import { InputSource } from "./source.ts";
import { WebhookRequest } from "./webhookEvent.ts";
import { Workflow } from "./workflow.ts";

const paramPath = z.string().min(1).max(512);

export const JOB_LIMITS = {
  inputs: 64,
  files: 64,
  params: 1_000,
  tags: 32,
  metadataBytes: 4_096,
  /** Higher runs first. BullMQ counts the other way and allows 0 to 2^21; queue/envelopes.ts converts. */
  priority: 1_000_000,
} as const;

/**
 * What a customer may send to `POST /v1/jobs`. Unknown fields are refused, so that a misspelt `timeout` is an error and
 * not a surprise. Server-side facts (tenant, attempts, prompt_id, client_id, number, front) are never taken from here.
 */
export const NewJob = z
  .strictObject({
    workflow: Workflow,
    params: z
      .record(paramPath, z.unknown())
      .refine((params) => Object.keys(params).length <= JOB_LIMITS.params, `at most ${JOB_LIMITS.params} params`)
      .default({})
      .meta({
        description: 'Values written into the workflow: { "6.inputs.text": "a fox", "3.inputs.seed": "random" }',
      }),
    inputs: z
      .record(paramPath, InputSource)
      .refine((inputs) => Object.keys(inputs).length <= JOB_LIMITS.inputs, `at most ${JOB_LIMITS.inputs} inputs`)
      .default({})
      .meta({
        description:
          'Files fetched, checked and uploaded for you: { "10.inputs.image": "https://…" }, or { "url": "s3://…", "credential": "mine" }',
      }),
    files: z
      .record(z.string().startsWith("/").max(512), InputSource)
      .refine((files) => Object.keys(files).length <= JOB_LIMITS.files, `at most ${JOB_LIMITS.files} files`)
      .default({})
      .meta({
        description:
          'Files by destination, which the workflow names without the folder: { "/input/pose.png": "https://…", "/models/loras/fox.safetensors": "https://…" }',
      }),
    output: OutputOptions.optional().meta({ description: "What becomes of the files on their way to the store" }),
    webhook: WebhookRequest.optional(),
    pool: PoolName.default("default"),
    priority: z
      .int()
      .min(-JOB_LIMITS.priority)
      .max(JOB_LIMITS.priority)
      .default(0)
      .meta({ description: "Higher runs first" }),
    run_at: Moment.optional().meta({ description: "Not before this moment (RFC 3339)" }),
    expires_in_s: z
      .int()
      .min(1)
      .max(31_536_000)
      .optional()
      .meta({ description: "Give up if not started after so many seconds" }),
    timeout_s: z
      .int()
      .min(1)
      .max(86_400)
      .default(900)
      .meta({ description: "Longest one attempt may take, in seconds" }),
    max_attempts: z
      .int()
      .min(1)
      .max(20)
      .default(3)
      .meta({ description: "Tries that fail for a reason in the job itself" }),
    cache: CacheMode.optional().meta({
      description:
        "use: the stored result of an identical job, or that of one which is rendering now, is given at once (`cached: true`); " +
        "refresh: render, and replace the stored result; off: neither look nor store. Left out, the operator's default counts " +
        '(off as delivered), and is off for a workflow with a "random" seed',
    }),
    metadata: z
      .record(z.string().max(128), z.unknown())
      .refine((metadata) => JSON.stringify(metadata).length <= JOB_LIMITS.metadataBytes, "at most 4 KB of JSON")
      .default({})
      .meta({ description: "Yours; returned as it came" }),
    tags: z.array(z.string().min(1).max(64)).max(JOB_LIMITS.tags).default([]),
    secrets: JobSecrets.optional(),
  })
  .meta({ id: "NewJob" });
export type NewJob = z.infer<typeof NewJob>;

/** The same before defaults are filled in: what a client writes. */
export type NewJobBody = z.input<typeof NewJob>;
