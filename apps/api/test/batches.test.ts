import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { bearer, GRAPH, setup, writeKeys } from "./setup.ts";

const api = await setup();
afterAll(() => api[Symbol.asyncDispose]());

const TYPED = {
  ...GRAPH,
  "5": { class_type: "KSampler", inputs: { seed: 1, cfg: 7.5, text: "a", tiled: false, link: ["3", 0] } },
};

const rowsOf = async (id: string, query = "") => (await api.call(`/v1/batches/${id}/rows${query}`)).json.rows;
const paramsOf = async (id: string) => (await rowsOf(id)).map(({ params }: { params: unknown }) => params);

test("a batch of rows is taken, shown with its progress, and each row is a job of its own", async () => {
  const answer = await api.post("/v1/batches", {
    workflow: GRAPH,
    params: { "3.inputs.height": 32 },
    rows: [{ "3.inputs.width": 8 }, { "3-inputs-width": 16 }],
    tags: ["two"],
    metadata: { order: "42" },
  });
  expect(answer.status).toBe(201);
  expect(answer.json).toMatchObject({
    status: "running",
    counts: { total: 2, queued: 2 },
    progress: 0,
    round: 1,
    tags: ["two"],
  });
  expect(answer.headers.get("location")).toBe(answer.json.urls.self);
  const { id } = answer.json;
  await expect
    .poll(async () => (await rowsOf(id)).map((row: { job_id: unknown }) => typeof row.job_id))
    .toEqual(["string", "string"]);
  const [first, second] = await rowsOf(id);
  expect(first).toMatchObject({
    row: 0,
    status: "queued",
    params: { "3.inputs.width": 8 },
    earlier_job_ids: [],
    outputs: [],
  });
  expect(await api.read(second.job_id)).toMatchObject({
    batch: { id, row: 1 },
    tags: ["two"],
    metadata: { order: "42" },
  });
  const workflow = (await api.call(`/v1/jobs/${second.job_id}/workflow`)).json.workflow;
  expect(workflow["3"].inputs).toMatchObject({ width: 16, height: 32 });
  expect((await api.call("/v1/batches")).json.batches[0].id).toBe(id);
});

test("a grid is every combination, the last name changing first", async () => {
  const grid = { "3.inputs.width": [1, 2], "3.inputs.color": [7, 8] };
  const { json } = await api.post("/v1/batches", { workflow: GRAPH, grid });
  expect(await paramsOf(json.id)).toEqual([
    { "3.inputs.width": 1, "3.inputs.color": 7 },
    { "3.inputs.width": 1, "3.inputs.color": 8 },
    { "3.inputs.width": 2, "3.inputs.color": 7 },
    { "3.inputs.width": 2, "3.inputs.color": 8 },
  ]);
});

test("a CSV as spreadsheets write it is read: byte order mark, CRLF, quotes, line breaks in values, empty values", async () => {
  const csv =
    '\uFEFF5.inputs.text,5.inputs.cfg,5.inputs.tiled,metadata:no\r\n"a ""fox"",\r\nrunning",3.5,TRUE,7\r\n42,,false,8\r\n\r\n';
  const { status, json } = await api.post("/v1/batches", { workflow: TYPED, csv });
  expect(status).toBe(201);
  const [first, second] = await rowsOf(json.id);
  expect(first.params).toEqual({
    "5.inputs.text": 'a "fox",\r\nrunning',
    "5.inputs.cfg": 3.5,
    "5.inputs.tiled": true,
    "metadata:no": "7",
  });
  await expect.poll(async () => (await rowsOf(json.id))[1].job_id).not.toBe(null);
  const jobs = await rowsOf(json.id);
  const workflowOf = async (at: number) =>
    (await api.call(`/v1/jobs/${jobs[at].job_id}/workflow`)).json.workflow["5"].inputs;
  expect(await workflowOf(0)).toMatchObject({ cfg: 3.5, tiled: true });
  expect(await workflowOf(1)).toMatchObject({ text: "42", cfg: 7.5, tiled: false }); // a text stays one; nothing is nothing
  expect((await api.read(jobs[1].job_id)).metadata).toEqual({ no: "8" });
  expect(second.row).toBe(1);
});

test("JSON lines are taken, inside the body and as a file of a form; a CSV file, too", async () => {
  const jsonl = '{"5.inputs.text": "a"}\n\n{"5.inputs.text": "b"}\r\n';
  const inside = await api.post("/v1/batches", { workflow: TYPED, jsonl });
  expect(inside.json.counts.total).toBe(2);
  const send = async (name: string, text: string) => {
    const form = new FormData();
    form.set("batch", new Blob([JSON.stringify({ workflow: TYPED })], { type: "application/json" }), "batch.json");
    form.set("rows", new Blob([text]), name);
    return api.call("/v1/batches", { method: "POST", body: form });
  };
  expect((await send("rows.jsonl", jsonl)).json.counts.total).toBe(2);
  expect((await send("rows.csv", "5.inputs.text\na\nb\nc\n")).json.counts.total).toBe(3);
  expect((await send("rows.csv", "5.inputs.text;5.inputs.cfg\na;1\n")).json.counts.total).toBe(1);
  expect(await send("rows.pdf", "x")).toMatchObject({ status: 415 });
});

test("a form whose header is malformed is answered, and its connection serves the next request", async () => {
  const part = (name: string) =>
    `--B\r\ncontent-disposition: form-data; name="rows"; filename="${name}"\r\n\r\n${"x".repeat(100_000)}\r\n`;
  const headers = { "content-type": "multipart/form-data; boundary=B" };
  for (const body of [
    `${part("\u0000")}${part("a.csv")}`,
    part("a.csv"),
    `${part("a.csv")}${part("\u0000")}--B--\r\n`,
  ]) {
    const answer = await api.call("/v1/batches", { method: "POST", body, headers });
    expect(answer.json.error).toMatchObject({ code: "invalid_request", message: expect.stringContaining("malformed") });
    expect((await api.call("/v1/batches")).status).toBe(200);
  }
});

test("a seed that is random is rolled for each row, and told", async () => {
  const { json } = await api.post("/v1/batches", {
    workflow: TYPED,
    params: { "5.inputs.seed": "random" },
    rows: [{}, {}],
  });
  const [first, second] = await paramsOf(json.id);
  expect(first["5.inputs.seed"]).toBeTypeOf("number");
  expect(first["5.inputs.seed"]).not.toBe(second["5.inputs.seed"]);
});

const REFUSED: readonly (readonly [string, object, RegExp])[] = [
  ["no rows at all", {}, /There are no rows/],
  ["an empty list", { rows: [] }, /no rows/],
  ["rows in two forms", { rows: [{}], csv: "a" }, /rows and csv/],
  [
    "a grid that explodes",
    { grid: { "3.inputs.width": Array(101).fill(1), "3.inputs.height": Array(100).fill(1) } },
    /101 x 100 = 10100 rows/,
  ],
  [
    "a grid that explodes beyond counting",
    { grid: Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`3.inputs.x${n}`, Array(99).fill(1)])) },
    /at most 10000/,
  ],
  ["an empty axis", { grid: { "3.inputs.width": [] } }, /grid/],
  ["10,001 rows", { csv: `3.inputs.width\n${"1\n".repeat(10_001)}` }, /10001 rows, and at most 10000/],
  ["an empty CSV", { csv: "" }, /CSV is empty/],
  ["a CSV with names only", { csv: "3.inputs.width\n" }, /no rows/],
  ["ragged lines", { csv: "3.inputs.width,3.inputs.height\n1,2\n1\n1,2,3\n" }, /line 3 has 1 values/],
  ["a quote that is not closed", { csv: '3.inputs.width\n"1\n' }, /cannot be read/],
  ["a column named twice", { csv: "3.inputs.width,3.inputs.width\n1,2\n" }, /twice/],
  ["a column without a name", { csv: "3.inputs.width,\n1,2\n" }, /column 2 has no name/],
  ["an unknown node", { csv: "77.inputs.width\n1\n2\n" }, /rows\.0\.77\.inputs\.width.*no node "77"/],
  ["no address", { rows: [{ width: 1 }] }, /is no address/],
  ["a text where a number is", { csv: "3.inputs.width\n1\nwide\n" }, /rows\.1\.3\.inputs\.width must be a number/],
  ["a line that is no JSON", { jsonl: '{"3.inputs.width": 1}\n{oops\n[]\n' }, /line 2 is not JSON/],
  ["one place in two spellings", { rows: [{ "3.inputs.width": 1, "3-inputs-width": 2 }] }, /two spellings/],
  ["a link to nowhere", { rows: [{ "9.inputs.images": ["77", 0] }] }, /linked to no node/],
  ["an input that is no address", { rows: [{ "input:3.inputs.image": "./a.png" }] }, /no address/],
];

test.each(REFUSED)("nothing is queued of %s", async (_name, rows, message) => {
  const before = (await api.call("/v1/batches?limit=100")).json.batches.length;
  const answer = await api.post("/v1/batches", { workflow: GRAPH, ...rows });
  expect(answer.status).toBe(422);
  expect(answer.json.error.message).toMatch(message);
  expect(answer.json.error.details.length).toBeGreaterThan(0);
  expect((await api.call("/v1/batches?limit=100")).json.batches).toHaveLength(before);
});

test("every row that is wrong is named, and a fault of all rows once", async () => {
  const rows = Array.from({ length: 300 }, (_, row) => (row % 2 === 0 ? `w${row}` : "1"));
  const { json } = await api.post("/v1/batches", { workflow: GRAPH, csv: `3.inputs.width\n${rows.join("\n")}\n` });
  expect(json.error.details).toHaveLength(100);
  expect(json.error.details[1]).toMatchObject({ path: "rows.2.3.inputs.width" });
  expect(json.error.message).toMatch(/the first 100 are named, and there are 50 more/);
  const unknown = await api.post("/v1/batches", { workflow: GRAPH, csv: `x\n${"1\n".repeat(300)}` });
  expect(unknown.json.error.details).toHaveLength(1);
});

test("the same key and body are the same batch, also as a form; another body is refused", async () => {
  const body = { workflow: GRAPH, rows: [{ "3.inputs.width": 5 }] };
  const headers = { "idempotency-key": "batch-1" };
  const first = await api.post("/v1/batches", body, headers);
  const again = await api.post("/v1/batches", { rows: body.rows, workflow: body.workflow }, headers);
  expect(again.json.id).toBe(first.json.id);
  expect(again.headers.get("idempotency-replayed")).toBe("true");
  const other = await api.post("/v1/batches", { ...body, rows: [{}] }, headers);
  expect(other.json.error.code).toBe("idempotency_key_reuse");
});

test("ten thousand rows are one call, and the graph is kept once", async () => {
  const pool = "huge";
  const csv = `3.inputs.width,9.inputs.filename_prefix\n${Array.from({ length: 10_000 }, (_, row) => `${row},p${row}`).join("\n")}\n`;
  const { status, json } = await api.post("/v1/batches", { workflow: GRAPH, csv, pool });
  expect(status).toBe(201);
  await expect
    .poll(async () => (await api.call(`/v1/batches/${json.id}/rows?cursor=9999`)).json.rows[0].job_id, {
      timeout: 30_000,
    })
    .toBeTypeOf("string");
  const canceled = await api.post(`/v1/batches/${json.id}/cancel`, {});
  expect(canceled.json.status).toBe("canceling");
}, 40_000);

test("what came of all rows is one manifest, as JSON and as CSV", async () => {
  const { json } = await api.post("/v1/batches", {
    workflow: GRAPH,
    rows: [{ "3.inputs.width": 1 }, { "3.inputs.width": 2 }],
    pool: "outs",
  });
  await api.succeed(await api.claim("outs"), { 'a "b",.png': "bytes" });
  const manifest = (await api.call(`/v1/batches/${json.id}/outputs`)).json;
  expect(manifest).toMatchObject({
    batch_id: json.id,
    rows: [
      { row: 0, outputs: [{ type: "image", size_bytes: 5 }] },
      { row: 1, outputs: [] },
    ],
  });
  expect((await api.call(manifest.rows[0].outputs[0].url)).text).toBe("bytes");
  const csv = await api.call(`/v1/batches/${json.id}/outputs?format=csv`);
  expect(csv.headers.get("content-type")).toMatch(/text\/csv/);
  const [head, first, second] = csv.text.split("\r\n");
  expect(head).toMatch(/^row,status,job_id,3\.inputs\.width,node_id,name,/);
  expect(first).toContain('"a ""b"",.png"');
  expect(first).toContain(manifest.rows[0].outputs[0].hash);
  expect(second).toMatch(/^1,queued,/);
});

test("jobs are listed by their batch, those of earlier tries included, and beside other filters", async () => {
  const pool = "listed";
  const { json: batch } = await api.post("/v1/batches", { workflow: GRAPH, rows: [{}, {}, {}], pool, tags: ["a"] });
  await api.submit({ pool });
  const listed = async (query = "") => (await api.call(`/v1/jobs?batch=${batch.id}${query}`)).json.jobs;
  const rowsIn = (jobs: readonly { batch: { row: number } }[]) =>
    jobs.map(({ batch: { row } }) => row).toSorted((a, b) => a - b);
  await expect.poll(async () => rowsIn(await listed())).toEqual([0, 1, 2]);
  const [first] = await listed();
  await api.post(`/v1/jobs/${first.id}/cancel`, {});
  expect(rowsIn(await listed("&status=queued"))).toHaveLength(2);
  expect(await listed("&tag=a")).toHaveLength(3);
  expect(await listed("&tag=b")).toEqual([]);
  const page = (await api.call(`/v1/jobs?batch=${batch.id}&limit=2`)).json;
  expect((await api.call(`/v1/jobs?batch=${batch.id}&limit=2&cursor=${page.next_cursor}`)).json).toMatchObject({
    jobs: [{ batch: { id: batch.id } }],
    next_cursor: null,
  });
  expect((await api.call(`/v1/jobs?batch=${first.id}`)).json).toEqual({ jobs: [], next_cursor: null });
  expect((await api.call("/v1/jobs?batch=nonsense")).status).toBe(422);
});

test("whoever prefers to wait is answered when the batch has ended, or when the seconds are over", async () => {
  // Nothing of it is made yet, so that it has ended as soon as it is canceled.
  const batch = { workflow: GRAPH, rows: [{}], run_at: "2099-01-01T00:00:00Z" };
  const post = (wait: number) => api.post("/v1/batches", batch, { prefer: `wait=${wait}` });
  const early = await post(1);
  expect([early.status, early.json.status]).toEqual([201, "running"]);
  expect(early.headers.get("preference-applied")).toBe("wait=1");
  const waiting = post(60);
  const newest = async () => (await api.call("/v1/batches?limit=1")).json.batches[0].id;
  await expect.poll(newest).not.toBe(early.json.id);
  await api.post(`/v1/batches/${await newest()}/cancel`, {});
  expect((await waiting).json).toMatchObject({ status: "canceled", counts: { canceled: 1 } });
}, 30_000);

test("what is wrong with a wish to retry rows is said as for every small body", async () => {
  const { json } = await api.post("/v1/batches", { workflow: GRAPH, rows: [{}] });
  const wrong = await api.post(`/v1/batches/${json.id}/retry`, { statuses: ["succeeded"] });
  expect([wrong.status, wrong.json.error.code]).toEqual([422, "invalid_request"]);
  expect(wrong.json.error.message).toMatch(/^Nothing was retried: statuses/);
});

test("secrets and headers of a batch are kept sealed only, and its rows show neither", async () => {
  const webhook = {
    url: "https://example.com/",
    headers: { authorization: "hidden-header" },
    events: ["batch.completed", "job.failed"],
  };
  const secrets = { api_key_comfy_org: "hidden-word" };
  const answer = await api.post("/v1/batches", { workflow: GRAPH, rows: [{}, {}], webhook, secrets, pool: "sealed" });
  expect(answer.status).toBe(201);
  await expect.poll(async () => (await rowsOf(answer.json.id))[1].job_id).toBeTypeOf("string");
  expect(await api.redis.everWritten()).not.toContain("hidden-");
  expect(api.log()).not.toContain("hidden-");
});

test("what is unknown and what is another tenant's are the same answer", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "comfyq-batches-"));
  const path = join(dataDir, "keys.json");
  const [mine = "", theirs = ""] = await writeKeys(path, [
    { tenant: "mine", scopes: ["submit", "read"] },
    { tenant: "theirs", scopes: ["submit", "read"] },
  ]);
  await using own = await setup({ dataDir });
  const { json } = await own.post("/v1/batches", { workflow: GRAPH, rows: [{}] }, bearer(mine));
  expect(json.status).toBe("running");
  for (const part of ["", "/rows", "/outputs"]) {
    const foreign = await own.call(`/v1/batches/${json.id}${part}`, { headers: bearer(theirs) });
    expect(foreign.status).toBe(404);
    const unknown = await own.call(`/v1/batches/${json.id.replace(/^./, "0")}${part}`, { headers: bearer(theirs) });
    expect(foreign.text.replaceAll(json.id, "ID")).toBe(unknown.text.replaceAll(json.id.replace(/^./, "0"), "ID"));
  }
  for (const act of ["cancel", "retry"])
    expect((await own.post(`/v1/batches/${json.id}/${act}`, {}, bearer(theirs))).status).toBe(404);
  await rm(dataDir, { recursive: true, force: true });
});
