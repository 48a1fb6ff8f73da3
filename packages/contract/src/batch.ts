import * as z from "zod";
import { JobId, Moment, Uuid } from "./ids.ts";
import { JOB_STATUSES } from "./jobStatus.ts";
import { Output } from "./output.ts";

export const BATCH_LIMITS = {
  rows: 10_000,
  /** Faults that one answer names; the message says how many there are. */
  faults: 100,
  /** Bytes of JSON that all rows together may have: Redis keeps them until the batch is swept. */
  rowsBytes: 16_000_000,
} as const;

/** One set of values: `{ "6.inputs.text": "a fox" }`; `input:<path>` names a file to fetch, `metadata:<name>` is the customer's own. */
export const BatchRow = z.record(z.string().min(1).max(512), z.unknown());
export type BatchRow = z.infer<typeof BatchRow>;

export const BatchStatus = z.enum(["running", "canceling", "completed", "canceled"]);
export type BatchStatus = z.infer<typeof BatchStatus>;

const count = z.int().nonnegative();

/** How many rows are in which state. */
export const BatchCounts = z.object({
  total: count,
  queued: count.meta({ description: "Rows that wait, those whose job is not made yet included" }),
  running: count,
  succeeded: count,
  failed: count,
  canceled: count,
  expired: count,
});
export type BatchCounts = z.infer<typeof BatchCounts>;

/** A batch as the customer sees it. */
export const Batch = z
  .object({
    id: Uuid,
    status: BatchStatus,
    created_at: Moment,
    run_at: Moment.nullable(),
    completed_at: Moment.nullable(),
    expires_at: Moment.nullable().meta({ description: "When an ended batch is swept" }),
    counts: BatchCounts,
    progress: z.number().min(0).max(1).meta({ description: "Share of the rows that have ended" }),
    eta_s: z.number().nonnegative().nullable().meta({ description: "A guess: mean render time x open rows / workers" }),
    round: z.int().positive().meta({ description: "1, and one more each time an ended batch was retried" }),
    pool: z.string(),
    priority: z.int(),
    metadata: z.record(z.string(), z.unknown()),
    tags: z.array(z.string()),
    urls: z.object({ self: z.string(), rows: z.string(), outputs: z.string(), cancel: z.string(), retry: z.string() }),
  })
  .meta({ id: "Batch" });
export type Batch = z.infer<typeof Batch>;

/** What the queue knows of a batch. */
export interface BatchFacts extends Omit<Batch, "urls"> {
  readonly tenant: string;
}

/** @param baseUrl address of the API without a trailing slash */
export function presentBatch({ tenant: _tenant, ...shown }: BatchFacts, baseUrl: string): Batch {
  const self = `${baseUrl}/v1/batches/${shown.id}`;
  const urls = {
    self,
    rows: `${self}/rows`,
    outputs: `${self}/outputs`,
    cancel: `${self}/cancel`,
    retry: `${self}/retry`,
  };
  return { ...shown, urls };
}

export const BatchPage = z
  .object({ batches: z.array(Batch), next_cursor: z.string().nullable() })
  .meta({ id: "BatchPage" });
export type BatchPage = z.infer<typeof BatchPage>;

/** One row and what became of it. */
export const BatchRowView = z
  .object({
    row: z.int().nonnegative().meta({ description: "From 0, in the order in which they were sent" }),
    params: BatchRow.meta({ description: "Its values, seeds rolled" }),
    status: z.enum(JOB_STATUSES),
    job_id: JobId.nullable().meta({ description: "Its newest job; null when none was made yet" }),
    earlier_job_ids: z.array(JobId).meta({ description: "Those before it, oldest first: the row was retried" }),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    outputs: z.array(Output),
  })
  .meta({ id: "BatchRow" });
export type BatchRowView = z.infer<typeof BatchRowView>;

export const BatchRowPage = z
  .object({ rows: z.array(BatchRowView), next_cursor: z.string().nullable() })
  .meta({ id: "BatchRowPage" });
export type BatchRowPage = z.infer<typeof BatchRowPage>;

/** Which rows are to be run again. */
export const BatchRetry = z
  .strictObject({
    statuses: z
      .array(z.enum(["failed", "canceled", "expired"]))
      .min(1)
      .default(["failed"]),
  })
  .meta({ id: "BatchRetry" });
export type BatchRetry = z.infer<typeof BatchRetry>;
