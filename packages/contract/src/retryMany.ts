import * as z from "zod";
import { JobId, Moment, PoolName } from "./ids.ts";
import { JobErrorCode } from "./jobErrors.ts";

/** Most jobs that one request retries; the answer's cursor leads on. */
export const RETRY_LIMIT = 1_000;

/** Which ended jobs are to be submitted again. Every field narrows the choice; unknown ones are refused. */
export const RetryRequest = z
  .strictObject({
    status: z.enum(["failed", "canceled", "expired"]).default("failed"),
    code: JobErrorCode.optional().meta({ description: "Only jobs that failed with this code, such as poison" }),
    tag: z.string().min(1).max(64).optional(),
    pool: PoolName.optional(),
    created_after: Moment.optional().meta({ description: "Only jobs made at this moment or later" }),
    created_before: Moment.optional().meta({ description: "Only jobs made before this moment" }),
    limit: z.int().min(1).max(RETRY_LIMIT).default(100).meta({ description: "Jobs that one request retries" }),
    cursor: z.string().min(1).max(256).optional().meta({ description: "next_cursor of the answer before" }),
    dry_run: z.boolean().default(false).meta({ description: "Tell what would be retried, and change nothing" }),
  })
  .refine(({ status, code }) => code === undefined || status === "failed", {
    path: ["code"],
    message: "tells failed jobs apart; leave it out, or ask for status failed",
  })
  .meta({ id: "RetryRequest" });
export type RetryRequest = z.infer<typeof RetryRequest>;

/** One job that matched, and the job that was made of it. */
const RetriedJob = z
  .object({
    from: JobId.meta({ description: "The ended job" }),
    code: JobErrorCode.nullable().meta({ description: "Why it failed" }),
    to: JobId.nullable().meta({ description: "The job that was made of it; null when it would be made, in a dry run" }),
    replayed: z.boolean().meta({ description: "It was retried before, as `to`; nothing new was queued" }),
  })
  .meta({ id: "RetriedJob" });
export type RetriedJob = z.infer<typeof RetriedJob>;

export const RetryReport = z
  .object({
    matched: z.int().nonnegative().meta({ description: "Jobs of this answer: all of `retried`" }),
    retried: z.array(RetriedJob),
    next_cursor: z.string().nullable().meta({
      description: "There may be more: send the same request with this as `cursor`. Null: that was all",
    }),
  })
  .meta({ id: "RetryReport" });
export type RetryReport = z.infer<typeof RetryReport>;
