import { Batch, BatchRowPage, type BatchRowView, Job } from "@comfyq/contract";
import { sleep } from "@comfyq/runtime";
import type { ApiClient } from "../api/apiClient.ts";
import { EXIT, type ExitCode } from "../CliError.ts";
import { fromWhereCalled } from "../config.ts";
import { saveOutputs } from "../run/saveOutputs.ts";

/** What is to be done with a batch that has ended. */
export interface FinishBatchOptions {
  /** Folder for the results of all rows. */
  readonly out?: string;
  /** Print the Batch, and nothing else on standard output. */
  readonly json?: boolean;
}

const LOOK_EVERY_MS = 1_000;

/** Follows a batch to its end and saves its results. @returns 0 when all rows succeeded, 3 when it was canceled, else 1 */
export async function finishBatch(client: ApiClient, id: string, { out, json }: FinishBatchOptions): Promise<ExitCode> {
  const batch = await untilEnded(client, id);
  const saved = out === undefined ? 0 : await saveAll(client, id, fromWhereCalled(out));
  const { total, succeeded, failed, canceled, expired } = batch.counts;
  const words = `Batch ${id} ${batch.status}: ${succeeded} of ${total} succeeded, ${failed} failed, ${canceled} canceled, ${expired} expired`;
  const files = out === undefined ? "" : `\n  ${saved} files in ${out}`;
  process.stdout.write(`${json ? JSON.stringify(batch, null, 2) : words + files}\n`);
  if (succeeded === total) return EXIT.succeeded;
  return batch.status === "canceled" ? EXIT.canceled : EXIT.failed;
}

async function untilEnded(client: ApiClient, id: string): Promise<Batch> {
  let shown = "";
  for (;;) {
    const batch = await client.ask({ path: `/v1/batches/${encodeURIComponent(id)}` }, Batch);
    const { total, queued, running, failed } = batch.counts;
    const words = `${total - queued - running} of ${total} done, ${running} running, ${failed} failed`;
    if (words !== shown) process.stderr.write(`${words}\n`);
    shown = words;
    if (batch.completed_at !== null) return batch;
    await sleep(LOOK_EVERY_MS);
  }
}

/** Rows in their order; a file that is there is never replaced. @returns how many files were saved */
async function saveAll(client: ApiClient, id: string, folder: string): Promise<number> {
  let saved = 0;
  for (let cursor: string | null = "0"; cursor !== null; ) {
    const path = `/v1/batches/${encodeURIComponent(id)}/rows?limit=100&cursor=${cursor}`;
    const page: BatchRowPage = await client.ask({ path }, BatchRowPage);
    for (const row of page.rows) saved += await saveRow(client, row, folder);
    cursor = page.next_cursor;
  }
  return saved;
}

async function saveRow(client: ApiClient, { job_id, outputs }: BatchRowView, folder: string): Promise<number> {
  if (job_id === null || outputs.length === 0) return 0;
  const job = await client.ask({ path: `/v1/jobs/${job_id}` }, Job);
  return (await saveOutputs(client, job, folder)).length;
}
