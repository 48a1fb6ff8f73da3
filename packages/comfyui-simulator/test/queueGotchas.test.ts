import { expect, test } from "vitest";
import { HISTORY_CAPACITY, History, type HistoryRecord } from "../src/engine/History.ts";
import { eventually, finished, listen, picture, post, readJson, restart, run, slow, start, submit } from "./setup.ts";
import { steppedClock } from "./steppedClock.ts";

interface Queue {
  readonly queue_running: [number, string, unknown, Record<string, unknown>, string[]][];
  readonly queue_pending: [number, string, unknown, Record<string, unknown>, string[]][];
}

const queueOf = ({ url }: { readonly url: string }): Promise<Queue> => readJson(fetch(`${url}/queue`));
const pendingIds = async (simulator: { readonly url: string }): Promise<string[]> =>
  (await queueOf(simulator)).queue_pending.map(([, id]) => id);

/** A simulator whose worker is busy until the clock is let go. */
async function busy(version = "0.33.0") {
  const clock = steppedClock();
  const simulator = await start({ clock, version });
  clock.hold();
  const running = await submit(simulator, slow(1000, 1, "busy"), { client_id: "me" });
  await clock.untilAsleep();
  return { clock, simulator, running };
}

test("gotcha 20: a pending prompt that is deleted or cancelled leaves no record and sends nothing to its client", async () => {
  const { clock, simulator, running } = await busy();
  const client = await listen(simulator, "gone");
  const one = await submit(simulator, picture(1), { client_id: "gone" });
  const two = await submit(simulator, picture(2), { client_id: "gone" });
  expect((await post(simulator, "/queue", { delete: [one.prompt_id] })).status).toBe(200);
  const cancelled = await readJson(post(simulator, `/api/jobs/${two.prompt_id}/cancel`));
  expect(cancelled).toEqual({ cancelled: true });
  clock.letGo();
  await finished(simulator, running.prompt_id);
  await client.flush();
  expect(new Set(client.types())).toEqual(new Set(["status"]));
  for (const { prompt_id } of [one, two]) {
    expect(await readJson(fetch(`${simulator.url}/history/${prompt_id}`))).toEqual({});
    expect((await fetch(`${simulator.url}/api/jobs/${prompt_id}`)).status).toBe(404);
  }
});

test("gotcha 21: deleting a running or unknown id from the queue answers 200 and does nothing", async () => {
  const { clock, simulator, running } = await busy();
  const answer = await post(simulator, "/queue", { delete: [running.prompt_id, "nobody"] });
  expect([answer.status, await answer.text(), answer.headers.get("content-type")]).toEqual([
    200,
    "",
    "application/octet-stream",
  ]);
  clock.letGo();
  expect((await finished(simulator, running.prompt_id)).status.status_str).toBe("success");
});

test("gotcha 22: /history/{id} is {} with 200 for unknown, pending and running prompts", async () => {
  const { simulator, running } = await busy();
  const pending = await submit(simulator, picture());
  for (const id of [running.prompt_id, pending.prompt_id, "nobody"]) {
    const answer = await fetch(`${simulator.url}/history/${id}`);
    expect([answer.status, await answer.json()]).toEqual([200, {}]);
  }
});

test("gotcha 23: history keeps 10,001 entries; max_items takes the newest, with offset counts from the oldest", async () => {
  const history = new History();
  const record = (id: string): HistoryRecord => ({
    prompt: [0, id, {}, {}, []],
    outputs: {},
    status: { status_str: "success", completed: true, messages: [] },
    meta: {},
  });
  for (let count = 0; count <= HISTORY_CAPACITY + 1; count++) history.add(record(`id-${count}`));
  expect(history.entries()).toHaveLength(10_001);
  expect(history.get("id-0")).toBeUndefined();
  const simulator = await start();
  const ids: string[] = [];
  for (const seed of [1, 2, 3, 4]) ids.push((await run(simulator, picture(seed))).id);
  const page = async (query: string): Promise<string[]> => {
    const answer: object = await readJson(fetch(`${simulator.url}/history?${query}`));
    return Object.keys(answer);
  };
  expect(await page("max_items=2")).toEqual(ids.slice(2));
  expect(await page("max_items=2&offset=1")).toEqual(ids.slice(1, 3));
  expect(await page("")).toEqual(ids);
  expect((await fetch(`${simulator.url}/history?max_items=x`)).status).toBe(500);
});

test("gotcha 24: pending prompts are shown in heap order; numbers, front and refused prompts count as they do", async () => {
  const { clock, simulator, running } = await busy(); // takes number 0
  const refused = await submit(simulator, {});
  expect(refused.status).toBe(400);
  const numbers: number[] = [];
  const order: string[] = [];
  const add = async (name: string, more: object): Promise<void> => {
    const { number, prompt_id } = await submit(simulator, picture(1, name), { ...more });
    numbers.push(number);
    order.push(prompt_id);
  };
  await add("a", {});
  await add("b", { number: 1.5 });
  await add("c", { front: true });
  await add("d", { front: true });
  await add("e", {});
  expect(numbers).toEqual([2, 1.5, -3, -4, 5]);
  const [a, b, c, d, e] = order;
  // Python's heapq after pushing 2, 1.5, -3, -4, 5.
  expect(await pendingIds(simulator)).toEqual([d, c, b, a, e]);
  clock.letGo();
  await finished(simulator, String(e));
  const history: object = await readJson(fetch(`${simulator.url}/history`));
  expect(Object.keys(history)).toEqual([running.prompt_id, d, c, b, a, e]);
});

test("gotcha 25: from 0.24.0 on only canonical UUIDs are prompt ids; duplicates all run, and history keeps the last", async () => {
  const { clock, simulator } = await busy();
  const id = "0b8f8a3e-94a3-4ac8-9bb5-5d5d3b3f4a10";
  for (const wrong of ["", id.toUpperCase(), `{${id}}`, 7, "my-job"]) {
    const { status, error } = await submit(simulator, picture(), { prompt_id: wrong });
    expect([status, error.type]).toEqual([400, "invalid_prompt_id"]);
  }
  const post90 = async (prefix: string): Promise<number> =>
    (await post(simulator, "/prompt", { prompt: picture(1, prefix), prompt_id: id, number: 90 })).status;
  // With the same number too the answer is 500, although it is queued.
  expect([await post90("one"), await post90("two")]).toEqual([200, 500]);
  expect((await submit(simulator, picture(1, "three"), { prompt_id: id })).prompt_id).toBe(id);
  expect((await submit(simulator, picture(1, "four"), { prompt_id: id })).prompt_id).toBe(id);
  expect(await pendingIds(simulator)).toEqual([id, id, id, id]);
  clock.letGo();
  await eventually(simulator.stats, ({ prompts }) => prompts.find(({ promptId }) => promptId === id)?.started === 4);
  await eventually(
    () => queueOf(simulator),
    ({ queue_running }) => queue_running.length === 0,
  );
  const history: object = await readJson(fetch(`${simulator.url}/history`));
  expect(Object.keys(history)).toHaveLength(2);

  const older = await start({ version: "0.3.64" });
  expect((await submit(older, picture(), { prompt_id: "my-job" })).prompt_id).toBe("my-job");
  expect((await submit(older, picture(), { prompt_id: null })).prompt_id).toBe("None");
});

test("gotcha 40: after a restart queue and history are empty, the counter is 0 again, and old ids are unknown", async () => {
  const simulator = await start();
  const client = await listen(simulator, "me");
  const { id } = await run(simulator, picture());
  await restart(simulator);
  await eventually(
    () => client.socket.readyState,
    (state) => state === client.socket.CLOSED,
  );
  expect(await readJson(fetch(`${simulator.url}/history`))).toEqual({});
  expect(await queueOf(simulator)).toEqual({ queue_running: [], queue_pending: [] });
  expect((await fetch(`${simulator.url}/api/jobs/${id}`)).status).toBe(404);
  expect((await submit(simulator, picture(2))).number).toBe(0);
});

test("gotcha 41: when the worker thread has died, prompts are accepted and never run, and the running item stays", async () => {
  const simulator = await start();
  const client = await listen(simulator, "me");
  const graph = {
    "1": { class_type: "SimZombie", inputs: {} },
    "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
  };
  const { prompt_id } = await submit(simulator, graph, { client_id: "me" });
  await client.until(({ type, data }) => type === "executing" && data["node"] === "1");
  const next = await submit(simulator, picture());
  expect(next.status).toBe(200);
  await client.flush();
  expect(client.types().at(-1)).toBe("status"); // nothing after the submission's own
  const { queue_running, queue_pending } = await queueOf(simulator);
  expect([queue_running.map(([, id]) => id), queue_pending.map(([, id]) => id)]).toEqual([
    [prompt_id],
    [next.prompt_id],
  ]);
  await restart(simulator);
  expect((await run(simulator, picture())).status.status_str).toBe("success");
});

test("gotcha 43: every route exists under /api too, but the jobs only there", async () => {
  const simulator = await start();
  const status = async (path: string): Promise<number> => (await fetch(simulator.url + path)).status;
  for (const path of ["/prompt", "/queue", "/history", "/object_info", "/system_stats", "/features", "/models"]) {
    expect([path, await status(path), await status(`/api${path}`)]).toEqual([path, 200, 200]);
  }
  expect(await Promise.all(["/api/jobs", "/api/api/jobs", "/jobs"].map(status))).toEqual([200, 200, 404]);
  expect(await Promise.all(["/internal/logs", "/api/internal/logs"].map(status))).toEqual([200, 404]);
  expect((await post(simulator, "/api/prompt", { prompt: picture() })).status).toBe(200);
  expect(
    await Promise.all([
      fetch(`${simulator.url}/queue`, { method: "PUT" }),
      fetch(`${simulator.url}/nowhere`),
      fetch(`${simulator.url}/nowhere`, { method: "OPTIONS" }),
    ]).then((answers) => answers.map((answer) => answer.status)),
  ).toEqual([405, 404, 200]);
});

test("gotcha 45: newer versions show no secrets in queue and history, older ones do", async () => {
  const more = { client_id: "me", extra_data: { api_key_comfy_org: "key", auth_token_comfy_org: "token", note: 1 } };
  for (const [version, secrets] of [
    ["0.33.0", []],
    ["0.3.64", ["api_key_comfy_org", "auth_token_comfy_org"]],
  ] as const) {
    const { clock, simulator } = await busy(version);
    const { prompt_id } = await submit(simulator, picture(), more);
    const [pending] = (await queueOf(simulator)).queue_pending;
    expect(Object.keys(pending?.[3] ?? {})).toEqual(expect.arrayContaining(["client_id", "note", ...secrets]));
    expect(JSON.stringify(pending).includes("token")).toBe(secrets.length > 0);
    clock.letGo();
    expect(JSON.stringify(await finished(simulator, prompt_id)).includes("token")).toBe(secrets.length > 0);
  }
});

test("gotcha 47: /free with free_memory empties the result cache after the current prompt", async () => {
  const simulator = await start();
  const cached = async (): Promise<unknown> => (await run(simulator, picture())).status.messages[1]?.[1]["nodes"];
  expect(await cached()).toEqual([]);
  expect(await cached()).toEqual(["1", "2"]);
  await post(simulator, "/free", { unload_models: true });
  expect(await cached()).toEqual(["1", "2"]);
  expect((await post(simulator, "/free", { free_memory: true })).status).toBe(200);
  expect(await cached()).toEqual([]);
  expect((await post(simulator, "/free")).status).toBe(500);
});

test("gotcha 50: the jobs API calls an interrupted prompt cancelled, before 0.8.2 failed", async () => {
  const simulator = await start();
  const graph = {
    "1": { class_type: "SimError", inputs: { type: "ValueError", message: "no" } },
    "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
  };
  const failed = await run(simulator, graph);
  const succeeded = await run(simulator, picture());
  const jobs = await readJson<{ jobs: { id: string; status: string }[] }>(fetch(`${simulator.url}/api/jobs`));
  const statuses = Object.fromEntries(jobs.jobs.map(({ id, status }) => [id, status]));
  expect(statuses).toEqual({ [failed.id]: "failed", [succeeded.id]: "completed" });
  for (const [version, status] of [
    ["0.33.0", "cancelled"],
    ["0.8.0", "failed"],
  ] as const) {
    const { clock, simulator: other, running } = await busy(version);
    const pending = await submit(other, picture());
    const list = await readJson<{ jobs: { id: string; status: string }[] }>(
      fetch(`${other.url}/api/jobs?status=pending,in_progress`),
    );
    expect(new Set(list.jobs.map(({ id, status: state }) => `${id} ${state}`))).toEqual(
      new Set([`${running.prompt_id} in_progress`, `${pending.prompt_id} pending`]),
    );
    await post(other, "/interrupt");
    clock.letGo();
    await finished(other, running.prompt_id);
    expect(await readJson(fetch(`${other.url}/api/jobs/${running.prompt_id}`))).toMatchObject({ status });
  }
});
