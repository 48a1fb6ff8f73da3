import { canonicalJson, isPlainWorkflow, NewBatch, type NewJob, writeValues } from "@comfyq/contract";
import { BatchHead, type BatchSubmission, type RowValues } from "@comfyq/queue";
import { sha256Hex } from "@comfyq/runtime";
import { parseJson } from "../body/parseJson.ts";
import { zodFaults } from "../body/zodFaults.ts";
import { ApiError } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import { checkAssets, checkSubmission } from "../submit/checkSubmission.ts";
import { keepEach } from "../submit/keepDataUris.ts";
import { refuseLargeGraph, refuseLookalikes } from "../submit/readSubmission.ts";
import { describeFault } from "../submit/writeParams.ts";
import { checkWebhookUrl } from "../webhooks/checkWebhookUrl.ts";
import { checkRows } from "./checkRows.ts";
import type { BatchRequest } from "./readBatchRequest.ts";
import { readRows } from "./readRows.ts";
import { RowFaults } from "./rowFaults.ts";

/** Ten thousand rows of twenty values. */
const ALLOWANCE = { values: 400_000, longTexts: ["csv", "jsonl"] };

/** A request for a batch that has the right form; whether it makes sense is not known yet. */
export interface ReadBatch {
  readonly body: NewBatch;
  readonly bodySha256: string;
  readonly canonicalSha256: string;
  readonly sealedSecrets: string | undefined;
  readonly sealedHeaders: string | undefined;
}

/**
 * Bytes → NewBatch, with every default filled in and its secrets sealed.
 * @throws ApiError `invalid_json` | `workflow_format_ui` | `invalid_request` with every faulty field | `payload_too_large`
 */
export function readBatch({ secretBox }: Rooms, tenant: string, { json, file }: BatchRequest): ReadBatch {
  const sent = parseJson(json, '{"workflow": {…}, "rows": [{"6.inputs.text": "a fox"}]}', ALLOWANCE);
  refuseLookalikes(sent);
  const body = parse(sent);
  refuseLargeGraph(body);
  const { secrets, webhook } = body;
  const seal = (part: object | undefined) => part && secretBox.seal(JSON.stringify(part), tenant);
  const rows = file ? sha256Hex(file.bytes) : "";
  // By a keyed digest: there may be secrets in it.
  return {
    body,
    bodySha256: secretBox.digest(`${json.toString("latin1")}${rows}`),
    canonicalSha256: secretBox.digest(`${canonicalJson(sent)}${rows}`),
    sealedSecrets: seal(secrets),
    sealedHeaders: seal(webhook?.headers),
  };
}

/** A plain graph is not copied through its schema. */
function parse(sent: object): NewBatch {
  const { workflow }: { readonly workflow?: unknown } = sent;
  const isPlain = isPlainWorkflow(workflow);
  const parsed = NewBatch.safeParse(isPlain ? { ...sent, workflow: {} } : sent);
  if (parsed.success) return isPlain ? { ...parsed.data, workflow } : parsed.data;
  const details = zodFaults(parsed.error, Object.keys(NewBatch.shape)).slice(0, 100);
  const first = details[0] ? `: ${details[0].path} ${details[0].message}` : "";
  throw new ApiError("invalid_request", `Nothing was queued${first}; see details, and /docs for what is taken`, {
    details,
  });
}

/**
 * Says whether all rows of a batch make sense, and returns it as it will run: all of it, or an error for each row that is wrong.
 * @throws ApiError
 */
export async function checkBatch(
  rooms: Rooms,
  { id, tenant }: { readonly id: string; readonly tenant: string },
  { body, ...kept }: ReadBatch,
  file: BatchRequest["file"],
): Promise<BatchSubmission> {
  const faults = new RowFaults();
  const sent = readRows(body, file, faults);
  const shared = writeShared(body);
  const { rows, isRandom } = checkRows(shared, sent, faults);
  faults.refuse();
  if (body.webhook) checkWebhookUrl(rooms, body.webhook.url, { path: "webhook.url", undone: "queued" });
  const job = await checkSubmission(rooms, tenant, { ...jobOf(body), workflow: first(shared, rows), params: {} });
  const { workflow: _first, params: _none, inputs, files, ...options } = job;
  const cache = body.cache ?? (isRandom ? undefined : options.cache);
  const head = BatchHead.parse({
    ...options,
    cache,
    webhook: body.webhook && { ...body.webhook, headers: undefined },
    webhookHeaders: kept.sealedHeaders,
  });
  const { bodySha256, canonicalSha256, sealedSecrets } = kept;
  const request = { workflow: shared, inputs, files };
  return {
    id,
    tenant,
    head,
    request,
    rows: await keepInputs(rooms, tenant, rows),
    bodySha256,
    canonicalSha256,
    sealedSecrets,
  };
}

function writeShared({ workflow, params }: NewBatch): NewBatch["workflow"] {
  const written = writeValues(workflow, params);
  if (written.faults.length === 0) return written.workflow;
  throw new ApiError("invalid_request", "Some params lead to no place in the workflow; see details", {
    details: written.faults.map((fault) => ({ path: `params.${fault.param}`, message: describeFault(fault) })),
  });
}

/** What its rows have in common, as a job. */
function jobOf(body: NewBatch): NewJob {
  const { rows: _rows, grid: _grid, csv: _csv, jsonl: _jsonl, webhook: _webhook, secrets: _secrets, ...job } = body;
  return job;
}

/** Rows differ in values only: what the graph is made of can be judged by any of them. */
function first(shared: NewBatch["workflow"], rows: readonly RowValues[]): NewBatch["workflow"] {
  return writeValues(shared, rows[0]?.params ?? {}).workflow;
}

/** Inputs that rows bring themselves: their assets are there, and bytes inside them become assets. */
async function keepInputs(rooms: Rooms, tenant: string, rows: readonly RowValues[]): Promise<readonly RowValues[]> {
  const named = rows.flatMap(({ inputs = {} }, row) =>
    Object.entries(inputs).map(([name, source]) => [`${row}.${name}`, source] as const),
  );
  if (named.length === 0) return rows;
  await checkAssets(rooms, tenant, { inputs: Object.fromEntries(named), files: {} });
  const kept: RowValues[] = [];
  for (const row of rows) kept.push(row.inputs ? { ...row, inputs: await keepEach(rooms, tenant, row.inputs) } : row);
  return kept;
}
