import {
  BatchOrigin,
  CacheMode,
  JOB_LIMITS,
  JobId,
  type JobOrigin,
  NewJob,
  PromptOrigin,
  ScheduleOrigin,
  ShownOutput,
  Tenant,
  Uuid,
  WebhookEventType,
  WebhookRequest,
} from "@comfyq/contract";
import * as z from "zod";

/** What stands in a BullJob of the jobs queue: no graph, no inputs, nothing that Bull Board should not show. */
export const JobEnvelope = z.object({ v: z.literal(1), tenant: Tenant, batch: BatchOrigin.optional() });
export type JobEnvelope = z.infer<typeof JobEnvelope>;

const aboutJob = { v: z.literal(1), tenant: Tenant, jobId: JobId };

/**
 * Something to tell about a job. `ended` is the parent of the job's flow: freed once, when the job ends in whatever way.
 * `queued` is queued with the job; the others by its holder. All of them only when somebody asked.
 */
export const Settlement = z.discriminatedUnion("what", [
  z.object({ ...aboutJob, what: z.literal("queued") }),
  z.object({ ...aboutJob, what: z.literal("started") }),
  z.object({ ...aboutJob, what: z.literal("progress"), epoch: z.int(), sequence: z.int(), atMs: z.number() }),
  z.object({ ...aboutJob, what: z.literal("output"), epoch: z.int(), atMs: z.number(), output: ShownOutput }),
  z.object({
    ...aboutJob,
    what: z.literal("ended"),
    /** The pool whose busy period it may have ended; only when an endpoint wants to hear of that. */
    busy: z.string().optional(),
  }),
]);
export type Settlement = z.infer<typeof Settlement>;

/** One webhook event to one URL. `body` is made once, so every try sends the same bytes. */
export const Delivery = z.object({
  v: z.literal(1),
  tenant: Tenant,
  /** The job that it is about; null for an event of a batch, a schedule or a queue. */
  jobId: JobId.nullable(),
  type: WebhookEventType,
  url: z.string(),
  body: z.string(),
  /** The `webhook-id`. Deliveries written before it was kept are named after it. */
  eventId: Uuid.optional(),
  /** The endpoint of the tenant that it goes to; null for the webhook of a job. */
  endpointId: Uuid.nullable().default(null),
  /** The recipient's own headers, encrypted. */
  headers: z.string().optional(),
});
export type Delivery = z.infer<typeof Delivery>;

/** A job that may be given the result of an identical one. */
export const Answer = z.object({ v: z.literal(1), tenant: Tenant, jobId: JobId, key: z.string() });
export type Answer = z.infer<typeof Answer>;

/** The small half of a record: what lists show. */
export const RecordHead = NewJob.pick({
  metadata: true,
  tags: true,
  priority: true,
  timeout_s: true,
  max_attempts: true,
  run_at: true,
  expires_in_s: true,
  output: true,
})
  .extend({
    webhook: WebhookRequest.omit({ headers: true }).strip().optional(),
    /** The headers of its webhook, encrypted. */
    webhookHeaders: z.string().optional(),
    nodesTotal: z.int(),
    /** Some of its files are models: not every worker can put them where they belong. */
    bringsModels: z.boolean().default(false), // records written before it was kept
    cache: CacheMode.exclude(["off"]).optional(),
    /** sha256 of `resultText`, where the bytes of all inputs were known when it was submitted. */
    subject: z.string().optional(),
    batch: BatchOrigin.optional(),
    schedule: ScheduleOrigin.optional(),
    prompt: PromptOrigin.optional(),
  })
  .strip();
export type RecordHead = z.infer<typeof RecordHead>;

/** The large half: what only the worker, and `GET …/workflow`, needs. */
export const RecordRequest = NewJob.pick({ workflow: true, inputs: true, files: true })
  .extend({
    /** What goes along with the graph, of a prompt that came in by ComfyUI's own API. */
    extra_data: z.record(z.string(), z.unknown()).optional(),
  })
  .strip();
export type RecordRequest = z.infer<typeof RecordRequest>;

/** What a customer submitted, checked and with params applied, and who they are. */
export interface JobSubmission {
  readonly id: string;
  readonly tenant: string;
  readonly job: NewJob;
  /** Fingerprint of the body as sent: tells a repeat from a reuse of its Idempotency-Key. */
  readonly bodySha256: string;
  /** The same for every order of its keys; left out when `original` is there to tell. */
  readonly canonicalSha256?: string | undefined;
  /** The body as sent, JSON, if it says just what `job` says: then it is kept as it is, and not written again. */
  readonly original?: Buffer | undefined;
  /** The job's secrets, encrypted; kept as they are, and gone with the record. */
  readonly sealedSecrets?: string | undefined;
  /** The headers of its webhook, encrypted; `job` has them no more. */
  readonly sealedHeaders?: string | undefined;
  /** sha256 of `resultText`; undefined when it is not known yet, or the job has nothing to do with the cache. */
  readonly subject?: string | undefined;
  /** What made it; its end is then settled even when nobody asked for a webhook. */
  readonly origin?: JobOrigin | undefined;
  /** What goes along with the graph, without secrets; of a prompt. */
  readonly extraData?: Readonly<Record<string, unknown>> | undefined;
}

/** What is kept of the body that made a job. */
export interface KeptBody {
  readonly bodySha256: string;
  /** Undefined: `request` is the body itself. */
  readonly canonicalSha256: string | undefined;
  readonly request: string;
}

/** A job as it was submitted, to be submitted again: its secrets are still sealed. */
export type Submittable = Pick<JobSubmission, "job" | "sealedSecrets" | "sealedHeaders" | "origin" | "extraData">;

/** BullMQ runs small numbers first, from 1; 0 would overtake everybody. Ours: higher first, FIFO inside a level. */
export function toBullPriority(priority: number): number {
  return JOB_LIMITS.priority + 1 - priority;
}
