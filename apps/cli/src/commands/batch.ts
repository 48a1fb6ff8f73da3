import { type Batch, BatchPage, type BatchRetry, Batch as BatchSchema } from "@comfyq/contract";
import { nowMs } from "@comfyq/runtime";
import { createApiClient } from "../api/apiClient.ts";
import { batchBody } from "../batch/batchBody.ts";
import { type FinishBatchOptions, finishBatch } from "../batch/finishBatch.ts";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { fromWhereCalled, ownName, readCliEnv } from "../config.ts";
import type { JobOptions } from "../run/jobOptions.ts";
import { readWorkflow } from "../run/readWorkflow.ts";
import { table } from "../table.ts";
import { age } from "./jobs.ts";

/** The options of `comfyq batch run`, as commander gives them. */
export interface BatchRunOptions extends FinishBatchOptions, JobOptions {
  readonly rows?: string;
  readonly grid?: readonly string[];
  readonly watch?: boolean;
  readonly key?: string;
}

/** `comfyq batch run`: submits a workflow times its rows; with `--watch` or `--out` stays until all have ended. */
export async function runBatch(file: string, options: BatchRunOptions): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const workflow = await readWorkflow(file === "-" ? file : fromWhereCalled(file));
  const json = await batchBody(workflow, options);
  const headers = options.key === undefined ? {} : { "idempotency-key": options.key };
  const batch = await client.ask({ method: "POST", path: "/v1/batches", json, headers }, BatchSchema);
  if (options.watch || options.out !== undefined) return finishBatch(client, batch.id, options);
  const words = `Batch ${batch.id}: ${batch.counts.total} jobs\n  see it:  ${ownName()} batch show ${batch.id} --watch`;
  print(options.json ? JSON.stringify(batch, null, 2) : words);
  return EXIT.succeeded;
}

/** `comfyq batch list`: one page, newest first. */
export async function listBatches(options: {
  readonly limit?: number;
  readonly cursor?: string;
  readonly json?: boolean;
}): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const { json, ...filters } = options;
  const given = Object.entries(filters).map(([name, value]): [string, string] => [name, String(value)]);
  const page = await client.ask({ path: `/v1/batches?${new URLSearchParams(given).toString()}` }, BatchPage);
  print(json ? JSON.stringify(page, null, 2) : listWords(page));
  return EXIT.succeeded;
}

function listWords({ batches, next_cursor }: BatchPage): string {
  if (batches.length === 0) return "No batches.";
  const rows = batches.map((batch) => [
    batch.id,
    batch.status,
    `${Math.floor(batch.progress * 100)} %`,
    String(batch.counts.total),
    String(batch.counts.failed),
    age(batch, nowMs()),
    batch.tags.join(" "),
  ]);
  const more = next_cursor === null ? "" : `\nolder ones:  --cursor ${next_cursor}`;
  return `${table(["BATCH", "STATUS", "", "ROWS", "FAILED", "AGE", "TAGS"], rows)}${more}`;
}

/** `comfyq batch show`: how far one is; with `--watch`, to its end. */
export async function showBatch(
  id: string,
  { watch, json }: { readonly watch?: boolean; readonly json?: boolean },
): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  if (watch) return finishBatch(client, id, { ...(json && { json }) });
  const batch = await client.ask({ path: pathOf(id) }, BatchSchema);
  print(json ? JSON.stringify(batch, null, 2) : showWords(batch));
  return EXIT.succeeded;
}

/** One line for what it is, one for each kind of row that it has. */
function showWords({ id, status, progress, eta_s, round, counts }: Batch): string {
  const { total, ...kinds } = counts;
  const lines = Object.entries(kinds).flatMap(([kind, count]) => (count === 0 ? [] : [`  ${kind}: ${count}`]));
  const rest = eta_s === null ? "" : `, about ${Math.ceil(eta_s)} s to go`;
  const again = round === 1 ? "" : `, round ${round}`;
  const head = `Batch ${id} ${status}: ${Math.floor(progress * 100)} % of ${total} rows${rest}${again}`;
  const why = counts.failed === 0 ? [] : [`  see why:  ${ownName()} jobs --batch ${id} --status failed`];
  return [head, ...lines, ...why].join("\n");
}

/** `comfyq batch cancel`. */
export async function cancelBatch(id: string): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  print(showWords(await client.ask({ method: "POST", path: `${pathOf(id)}/cancel` }, BatchSchema)));
  return EXIT.succeeded;
}

/** `comfyq batch retry`: failed rows, or others that have not succeeded. */
export async function retryBatch(
  id: string,
  {
    canceled,
    expired,
    watch,
    ...finish
  }: FinishBatchOptions & Readonly<Record<"canceled" | "expired" | "watch", boolean | undefined>>,
): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const wanted: BatchRetry["statuses"] = [
    "failed",
    ...(canceled ? ["canceled" as const] : []),
    ...(expired ? ["expired" as const] : []),
  ];
  const call = { method: "POST", path: `${pathOf(id)}/retry`, json: { statuses: wanted } } as const;
  const batch = await client.ask(call, BatchSchema);
  if (watch || finish.out !== undefined) return finishBatch(client, id, finish);
  print(finish.json ? JSON.stringify(batch, null, 2) : showWords(batch));
  return EXIT.succeeded;
}

/** `comfyq batch outputs`: the manifest, as JSON or CSV. */
export async function batchOutputs(id: string, { format = "json" }: { readonly format?: string }): Promise<ExitCode> {
  if (format !== "json" && format !== "csv") throw new CliError("bad_input", "--format is json or csv");
  const client = createApiClient(readCliEnv());
  const response = await client.send({
    path: `${pathOf(id)}/outputs?format=${format}`,
    signal: new AbortController().signal,
  });
  for await (const chunk of response.body ?? []) process.stdout.write(chunk);
  return EXIT.succeeded;
}

function pathOf(id: string): string {
  return `/v1/batches/${encodeURIComponent(id)}`;
}

function print(words: string): void {
  process.stdout.write(`${words}\n`);
}
