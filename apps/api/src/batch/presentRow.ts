import type { BatchRowView } from "@comfyq/contract";
import type { BatchRowFacts } from "@comfyq/queue";
import { showJob } from "../presentJob.ts";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";

/** A row as its owner sees it, with links to its files that are fresh now. */
export async function presentRow(rooms: Rooms, call: Call, facts: BatchRowFacts): Promise<BatchRowView> {
  const { row, params, status, job, jobId, earlierJobIds } = facts;
  const shown = job && (await showJob(rooms, call, job));
  const error = shown?.error ? { code: shown.error.code, message: shown.error.message } : null;
  return {
    ...{ row, params, status, error },
    job_id: jobId ?? null,
    earlier_job_ids: [...earlierJobIds],
    outputs: shown?.outputs ?? [],
  };
}
