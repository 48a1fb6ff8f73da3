import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Batch } from "@comfyq/contract";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { cancelBatch, listBatches, retryBatch, runBatch, showBatch } from "../src/commands/batch.ts";
import { job, standInApi } from "./standIn.ts";

let written = "";
let folder = "";
beforeEach(async () => {
  written = "";
  folder = await mkdtemp(join(tmpdir(), "comfyq-cli-batch-"));
  await writeFile(join(folder, "graph.json"), JSON.stringify(GRAPH));
  await writeFile(join(folder, "rows.csv"), "1.inputs.seed\n1\n2\n");
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, "write").mockImplementation((text) => {
      written += String(text);
      return true;
    });
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const GRAPH = { "1": { class_type: "KSampler", inputs: { seed: 0, text: "a" } } };
const ID = "00000000-0000-7000-8000-00000000000b";
const at = (path: string) => `http://127.0.0.1/v1/batches/${ID}${path}`;

function batch(facts: Partial<Batch> = {}, counts: Partial<Batch["counts"]> = {}): Batch {
  return {
    id: ID,
    status: "running",
    created_at: "2026-11-22T10:00:00.000Z",
    ...{ run_at: null, completed_at: null, expires_at: null, progress: 0.5, eta_s: 12.2, round: 1, pool: "default" },
    counts: { total: 2, queued: 1, running: 0, succeeded: 1, failed: 0, canceled: 0, expired: 0, ...counts },
    ...{ priority: 0, metadata: {}, tags: ["a"] },
    urls: { self: at(""), rows: at("/rows"), outputs: at("/outputs"), cancel: at("/cancel"), retry: at("/retry") },
    ...facts,
  };
}

const graph = () => join(folder, "graph.json");

test("batch run sends the rows file as it is, with what holds for all rows, and says how to see it", async () => {
  const asked = await standInApi({ status: 201, json: batch() });
  const options = {
    rows: join(folder, "rows.csv"),
    param: ["1.inputs.text=42"],
    priority: 3,
    webhook: "http://x/",
    key: "k",
  };
  expect(await runBatch(graph(), options)).toBe(0);
  expect(asked[0]).toMatchObject({
    call: "POST /v1/batches",
    key: "k",
    body: {
      workflow: GRAPH,
      csv: "1.inputs.seed\n1\n2\n",
      params: { "1.inputs.text": "42" },
      priority: 3,
      webhook: { url: "http://x/" },
    },
  });
  expect(written).toContain(`batch show ${ID} --watch`);
});

test("a grid is lists of values of the workflow's own kinds, or JSON", async () => {
  const asked = await standInApi({ status: 201, json: batch() });
  await runBatch(graph(), { grid: ["1.inputs.seed=1,2", '1.inputs.text=["a, b","c"]'] });
  expect(asked[0]?.body).toMatchObject({ grid: { "1.inputs.seed": [1, 2], "1.inputs.text": ["a, b", "c"] } });
});

test("rows in two ways, in none, or in a file that is not there are refused before anything is sent", async () => {
  const asked = await standInApi();
  await expect(runBatch(graph(), {})).rejects.toThrow("--rows");
  await expect(runBatch(graph(), { rows: "a.csv", grid: ["1.inputs.seed=1"] })).rejects.toThrow("--rows");
  await expect(runBatch(graph(), { rows: join(folder, "none.csv") })).rejects.toThrow("cannot be read");
  expect(asked).toEqual([]);
});

test("--watch follows to the end, and the exit code says whether every row succeeded", async () => {
  const ended = batch(
    { status: "completed", completed_at: "2026-11-22T10:01:00.000Z", progress: 1 },
    { queued: 0, failed: 1 },
  );
  await standInApi({ status: 201, json: batch() }, { json: ended });
  expect(await runBatch(graph(), { rows: join(folder, "rows.csv"), watch: true })).toBe(1);
  expect(written).toContain(`Batch ${ID} completed: 1 of 2 succeeded, 1 failed`);
});

test("--out saves the results of all rows, page after page", async () => {
  const ended = batch(
    { status: "completed", completed_at: "2026-11-22T10:01:00.000Z", progress: 1 },
    { queued: 0, succeeded: 2 },
  );
  const output = { node_id: "2", name: "seed", type: "value" as const, value: 7 };
  const done = (n: number) =>
    job({ id: `00000000-0000-7000-8000-00000000000${n}`, status: "succeeded", outputs: [output] });
  const row = (n: number) => ({
    ...{ row: n, params: {}, status: "succeeded", error: null, earlier_job_ids: [], outputs: [output] },
    job_id: done(n).id,
  });
  const pages = [
    { rows: [row(1)], next_cursor: "1" },
    { rows: [row(2)], next_cursor: null },
  ];
  const asked = await standInApi(
    { json: batch() },
    { json: ended },
    { json: pages[0] },
    { json: done(1) },
    { json: pages[1] },
    { json: done(2) },
  );
  const options = { out: join(folder, "out"), watch: true, canceled: true, expired: undefined };
  expect(await retryBatch(ID, options)).toBe(0);
  expect(asked[0]).toMatchObject({ call: `POST /v1/batches/${ID}/retry`, body: { statuses: ["failed", "canceled"] } });
  expect((await readdir(options.out)).toSorted()).toEqual(["2-seed (2).json", "2-seed.json"]);
});

test("list, show and cancel say how far a batch is", async () => {
  const asked = await standInApi(
    { json: { batches: [batch()], next_cursor: "n" } },
    { json: batch() },
    { json: batch({ status: "canceling" }) },
  );
  await listBatches({ limit: 5 });
  expect(written).toMatch(new RegExp(`${ID}  running  50 %  2     0`));
  expect(written).toContain("older ones:  --cursor n");
  await showBatch(ID, {});
  expect(written).toContain("running: 50 % of 2 rows, about 13 s to go\n  queued: 1\n  succeeded: 1");
  await cancelBatch(ID);
  expect(asked.map(({ call }) => call)).toEqual([
    "GET /v1/batches?limit=5",
    `GET /v1/batches/${ID}`,
    `POST /v1/batches/${ID}/cancel`,
  ]);
});
