import * as z from "zod";
import { StopReport } from "./attempt.ts";
import { JobId, Moment, toMoment } from "./ids.ts";
import { JobFailure } from "./jobErrors.ts";
import { BatchOrigin, ScheduleOrigin } from "./jobOrigin.ts";
import { JobStage, JobStatus } from "./jobStatus.ts";
import type { StoredFile, StoredThumbnail, StoredValue } from "./output.ts";
import { Output } from "./output.ts";
import type { OutputOptions } from "./outputOptions.ts";
import { Progress } from "./progress.ts";

const milliseconds = z.number().nonnegative().nullable();

/** A job as the customer sees it: Comfy API v2's Job plus our fields (design/api.md). */
export const Job = z
  .object({
    id: JobId,
    status: JobStatus,
    stage: JobStage.nullable(),
    created_at: Moment,
    run_at: Moment.nullable(),
    started_at: Moment.nullable(),
    completed_at: Moment.nullable(),
    expires_at: Moment.nullable().meta({ description: "When an ended job and its files are swept" }),
    queue_position: z.int().positive().nullable().meta({ description: "1 = next; null when not waiting" }),
    eta_s: z
      .number()
      .nonnegative()
      .nullable()
      .meta({
        description:
          "Guess of the seconds until it will have ended, from the times of workflows of the same shape in the same pool; " +
          "null when nothing is known, it waits for its moment, or it takes longer than such jobs did",
      }),
    progress: Progress.nullable(),
    outputs: z.array(Output),
    error: JobFailure.nullable(),
    stop: StopReport.nullable().meta({ description: "How its GPU was stopped; null when nothing had to be" }),
    attempts: z.int().nonnegative().meta({ description: "Tries started so far" }),
    max_attempts: z.int().positive(),
    instance: z.string().nullable().meta({ description: "The ComfyUI that ran, or runs, the newest attempt" }),
    cached: z.boolean().meta({ description: "Its files were copied from an identical job, without a render" }),
    metrics: z.object({
      queued_ms: milliseconds,
      prepare_ms: milliseconds,
      render_ms: milliseconds,
      store_ms: milliseconds,
    }),
    pool: z.string(),
    priority: z.int(),
    timeout_s: z.int(),
    metadata: z.record(z.string(), z.unknown()),
    tags: z.array(z.string()),
    batch: BatchOrigin.nullable().meta({ description: "The batch that it is a row of" }),
    schedule: ScheduleOrigin.nullable().meta({ description: "The schedule that made it, and at which moment" }),
    urls: z.object({ self: z.string(), events: z.string(), cancel: z.string() }),
  })
  .meta({ id: "Job" });
export type Job = z.infer<typeof Job>;

/** One page of jobs, newest first. */
export const JobPage = z.object({ jobs: z.array(Job), next_cursor: z.string().nullable() }).meta({ id: "JobPage" });
export type JobPage = z.infer<typeof JobPage>;

/** What the queue knows of a job: everything of `Job` but links, which are made fresh by whoever shows it. */
export interface JobFacts extends Omit<Job, "outputs" | "urls"> {
  readonly tenant: string;
  /** The attempt whose manifest was sealed; null until then. */
  readonly sealed_epoch: number | null;
  /** Of the newest attempt; 0 before the first. What the events of a job call `attempt`. */
  readonly epoch: number;
  readonly outputs: readonly (StoredFile | StoredValue)[];
  /** What the customer asked to become of the files. */
  readonly output: OutputOptions | undefined;
}

/** What a link leads to. */
export type LinkedFile = Pick<StoredFile, "key" | "name" | "content_type">;

export interface FileLink {
  readonly url: string;
  readonly expiresAtMs: number | null;
}

/**
 * Makes the customer's view of a job. `linkTo` is asked once per stored file; answers to a GET pass signed links that end
 * soon, webhooks pass addresses of the API that do not.
 * @param baseUrl address of the API without a trailing slash, e.g. `http://127.0.0.1:8190`
 */
export async function presentJob(
  facts: JobFacts,
  baseUrl: string,
  linkTo: (file: LinkedFile) => Promise<FileLink>,
): Promise<Job> {
  const { tenant: _tenant, sealed_epoch: _sealed, epoch: _epoch, output: _output, outputs, ...shown } = facts;
  const self = `${baseUrl}/v1/jobs/${facts.id}`;
  return {
    ...shown,
    outputs: await Promise.all(outputs.map((output) => presentOutput(output, linkTo))),
    urls: { self, events: `${self}/events`, cancel: `${self}/cancel` },
  };
}

async function presentOutput(
  output: StoredFile | StoredValue,
  linkTo: (file: LinkedFile) => Promise<FileLink>,
): Promise<Output> {
  if ("value" in output) return output;
  const { key: _key, sha256, thumbnail, ...shown } = output;
  return {
    ...shown,
    hash: `sha256:${sha256}`,
    ...shownLink(await linkTo(output)),
    ...(thumbnail && { thumbnail: await presentThumbnail(thumbnail, linkTo) }),
  };
}

async function presentThumbnail(thumbnail: StoredThumbnail, linkTo: (file: LinkedFile) => Promise<FileLink>) {
  const { key: _key, ...shown } = thumbnail;
  return { ...shown, ...shownLink(await linkTo(thumbnail)) };
}

function shownLink({ url, expiresAtMs }: FileLink) {
  return { url, ...(expiresAtMs === null ? {} : { url_expires_at: toMoment(expiresAtMs) }) };
}
