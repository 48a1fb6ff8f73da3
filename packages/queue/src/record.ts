import type { Attempt, WebhookRequest } from "@comfyq/contract";
import { MODEL_DESTINATION, NewJob, Progress, Uuid, writeValues } from "@comfyq/contract";
import type { Redis } from "ioredis";
import * as z from "zod";
import { type JobSubmission, type KeptBody, RecordHead, RecordRequest, type Submittable } from "./envelopes.ts";
import type { Names } from "./names.ts";
import { readAttempt, readJson } from "./readAttempt.ts";
import type { QueueRoom } from "./room.ts";
import { readSharedRequest } from "./sharedRequest.ts";

/** The small half of what is kept of a job beside BullMQ, and what was asked of it since. */
export interface JobRecord {
  readonly tenant: string;
  readonly pool: string;
  readonly createdAtMs: number;
  readonly bodySha256: string;
  readonly head: RecordHead;
  readonly cancelRequestedAtMs: number | undefined;
  readonly expiredAtMs: number | undefined;
  /** sha256 of `resultText` as a worker that had fetched the inputs found it. */
  readonly learnedSubject: string | undefined;
  /** Of `shapeOf`; undefined in records written before it was kept. */
  readonly shape: string | undefined;
}

const FIELDS = [
  "tenant",
  "pool",
  "created_at_ms",
  "body_sha256",
  "head",
  "cancel_requested_at_ms",
  "expired_at_ms",
  "subject",
  "shape",
] as const;

export async function readRecord(redis: Redis, names: Names, jobId: string): Promise<JobRecord | undefined> {
  const [tenant, pool, createdAt, bodySha256, head, canceled, expired, subject, shape] = await redis.hmget(
    names.record(jobId),
    ...FIELDS,
  );
  if (!tenant || !pool || !head) return undefined;
  return {
    tenant,
    pool,
    createdAtMs: Number(createdAt),
    bodySha256: bodySha256 ?? "",
    head: RecordHead.parse(JSON.parse(head)),
    cancelRequestedAtMs: canceled ? Number(canceled) : undefined,
    expiredAtMs: expired ? Number(expired) : undefined,
    learnedSubject: subject ?? undefined,
    shape: shape ?? undefined,
  };
}

/** The large half of a record. */
export interface RequestPapers {
  readonly request: RecordRequest;
  readonly sealedSecrets: string | undefined;
}

/** The request of a row of a batch: what it shares with the others stands there. */
const RowRequest = z.object({
  of: Uuid,
  params: z.record(z.string(), z.unknown()),
  inputs: RecordRequest.shape.inputs.optional(),
});

/** The graph, inputs and sealed secrets; undefined when the record is gone. */
export async function readRequest(redis: Redis, names: Names, jobId: string): Promise<RequestPapers | undefined> {
  const [request, secrets] = await redis.hmget(names.record(jobId), "request", "secrets");
  if (!request) return undefined;
  const parsed: unknown = JSON.parse(request);
  const row = RowRequest.safeParse(parsed).data;
  if (!row) return { request: RecordRequest.parse(parsed), sealedSecrets: secrets ?? undefined };
  const shared = await readSharedRequest({ redis, names }, row.of);
  if (!shared) return undefined;
  const { workflow, inputs, files } = shared.request;
  const written = writeValues(workflow, row.params).workflow;
  return { ...shared, request: { workflow: written, inputs: { ...inputs, ...row.inputs }, files } };
}

/** The body that made a job, as far as it is kept; undefined when the record is gone, or another tenant's. */
export async function readKeptBody(
  { redis, names }: Pick<QueueRoom, "redis" | "names">,
  tenant: string,
  jobId: string,
): Promise<KeptBody | undefined> {
  const fields = ["tenant", "body_sha256", "canonical_sha256", "request"];
  const [owner, bodySha256, canonicalSha256, request] = await redis.hmget(names.record(jobId), ...fields);
  if (owner !== tenant || !bodySha256 || !request) return undefined;
  return { bodySha256, canonicalSha256: canonicalSha256 ?? undefined, request };
}

/** Both halves put together again; undefined when the record is gone. */
export async function readSubmitted(redis: Redis, names: Names, jobId: string): Promise<Submittable | undefined> {
  const [record, papers] = await Promise.all([readRecord(redis, names, jobId), readRequest(redis, names, jobId)]);
  if (!record || !papers) return undefined;
  const {
    nodesTotal: _nodes,
    bringsModels: _brings,
    subject: _subject,
    webhookHeaders: sealedHeaders,
    batch: _batch,
    schedule: _tick,
    prompt,
    ...head
  } = record.head;
  const { extra_data: extraData, ...request } = papers.request;
  const job = NewJob.parse({ ...head, ...request, pool: record.pool });
  // A batch or a schedule made that one job; a prompt says what runs of the graph, and who hears of it, however often it is tried.
  return { job, sealedSecrets: papers.sealedSecrets, sealedHeaders, origin: prompt && { prompt }, extraData };
}

/** `RecordHead` with every key named: one that is forgotten is a mistake of types, not a wish that nobody hears. */
type WholeHead = { readonly [Key in keyof Required<RecordHead>]: RecordHead[Key] };

/** The half of a job that lists show. By hand: the job has been through its schema. */
export function headOf({ job, subject, origin, sealedHeaders }: Omit<JobSubmission, "id" | "tenant">): WholeHead {
  const { metadata, tags, priority, timeout_s, max_attempts, run_at, expires_in_s, output, cache } = job;
  const limits = { priority, timeout_s, max_attempts, run_at, expires_in_s };
  const wish = cache === undefined || cache === "off" ? { cache: undefined, subject: undefined } : { cache, subject };
  const nodesTotal = Object.keys(job.workflow).length;
  const bringsModels = Object.keys(job.files).some((destination) => destination.startsWith(MODEL_DESTINATION));
  const { batch, schedule, prompt } = origin ?? {};
  const told = { webhook: job.webhook && openHalf(job.webhook), webhookHeaders: sealedHeaders };
  return { metadata, tags, ...limits, ...told, output, ...wish, nodesTotal, bringsModels, batch, schedule, prompt };
}

/** Headers are secrets: those that nobody sealed do not come in here, whoever forgot it. */
function openHalf({ url, events, format, metadata }: WebhookRequest): RecordHead["webhook"] {
  return { url, events, ...(format && { format }), ...(metadata && { metadata }) };
}

/** The other half, which only the worker needs. */
export function requestOf({ job, extraData }: Pick<JobSubmission, "job" | "extraData">): RecordRequest {
  const { workflow, inputs, files } = job;
  return { workflow, inputs, files, ...(extraData && { extra_data: { ...extraData } }) };
}

/** Every try so far, oldest first, and the newest progress. */
export interface Journal {
  readonly attempts: readonly Attempt[];
  readonly progress: Progress | undefined;
}

export async function readJournal(redis: Redis, names: Names, jobId: string): Promise<Journal> {
  const fields = await redis.hgetall(names.attempts(jobId));
  const attempts = Object.entries(fields)
    .filter(([field]) => /^\d+$/.test(field))
    .map(([field, text]) => readAttempt(Number(field), text))
    .sort((a, b) => a.epoch - b.epoch);
  const progress = fields[progressField(attempts.at(-1)?.epoch ?? 0)];
  return { attempts, progress: progress ? Progress.safeParse(readJson(progress)).data : undefined };
}

/** Each epoch has its own fields, so a late ghost can only write where nobody looks any more. */
export function progressField(epoch: number): string {
  return `progress:${epoch}`;
}
