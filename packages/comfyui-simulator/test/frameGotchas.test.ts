import { expect, test } from "vitest";
import {
  eventually,
  type Frame,
  finished,
  listen,
  picture,
  post,
  readJson,
  run,
  slow,
  start,
  submit,
} from "./setup.ts";
import { steppedClock } from "./steppedClock.ts";

const isEnd = ({ type, data }: { type: string; data: Record<string, unknown> }): boolean =>
  type === "executing" && data["node"] === null;

/** Fails before its last node. */
const failing = (
  classType: string,
  inputs: Record<string, unknown> = { type: "ValueError", message: "simulated" },
): Record<string, unknown> => ({
  "1": { class_type: "EmptyImage", inputs: { width: 16, height: 16, batch_size: 1, color: 5 } },
  "2": { class_type: classType, inputs: { ...inputs, input: ["1", 0] } },
  "3": { class_type: "PreviewAny", inputs: { source: ["2", 0] } },
});

const dataOf = (frames: readonly Frame[], wanted: string): Record<string, unknown>[] =>
  frames.flatMap((frame) => (!(frame instanceof Uint8Array) && frame.type === wanted ? [frame.data] : []));

test("gotcha 7: submitting to an idle server sends status(1) twice, and every change of the queue goes to all", async () => {
  const simulator = await start();
  const stranger = await listen(simulator, "stranger");
  await run(simulator, picture(), { client_id: "me" });
  await eventually(stranger.types, (types) => types.length === 4);
  const remaining = stranger.frames.map((frame) => JSON.stringify(frame).match(/remaining":(\d)/)?.[1]);
  expect(remaining).toEqual(["0", "1", "1", "0"]);
});

test("gotcha 8: without client_id nobody hears of the execution, and everybody of progress and previews", async () => {
  const simulator = await start();
  const stranger = await listen(simulator, "stranger");
  const graph = {
    "1": { class_type: "SimSleep", inputs: { ms: 0, steps: 2, preview: true } },
    "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
  };
  await run(simulator, graph);
  await eventually(stranger.types, (types) => types.at(-1) === "status" && types.length > 4);
  expect(new Set(stranger.types())).toEqual(new Set(["status", "progress_state", "progress", "BIN1"]));
});

test("gotcha 9: an interrupt of a prompt without client_id is told to everybody", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  const stranger = await listen(simulator, "stranger");
  clock.hold();
  const { prompt_id } = await submit(simulator, slow(1000, 4));
  await clock.untilAsleep();
  await post(simulator, "/interrupt");
  clock.letGo();
  const { data } = await stranger.until(({ type }) => type === "execution_interrupted");
  expect(data).toMatchObject({ prompt_id, node_id: "1", node_type: "SimSleep", executed: [] });
});

test("gotcha 10: the end is execution_success, then the history entry, then status, then executing null", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, faults: [{ kind: "history_delay", ms: 400 }] });
  const client = await listen(simulator, "me");
  clock.hold();
  const { prompt_id } = await submit(simulator, picture(), { client_id: "me" });
  const history = (): Promise<object> => readJson(fetch(`${simulator.url}/history/${prompt_id}`));
  await client.until(({ type }) => type === "execution_success");
  await clock.untilAsleep();
  expect(await history()).toEqual({});
  clock.letGo();
  await client.until(isEnd);
  expect(Object.keys(await history())).toEqual([prompt_id]);
  expect(client.types().slice(-3)).toEqual(["execution_success", "status", "executing"]);
});

test("gotcha 11: execution_cached is always sent and recorded, mostly with an empty list", async () => {
  const simulator = await start();
  const client = await listen(simulator, "me");
  const { id, status } = await run(simulator, picture(), { client_id: "me" });
  expect(status.messages.map(([type]) => type)).toEqual(["execution_start", "execution_cached", "execution_success"]);
  const { data } = await client.until(({ type }) => type === "execution_cached");
  expect(data).toEqual({ nodes: [], prompt_id: id, timestamp: expect.any(Number) });
});

test("gotcha 12: a fully cached prompt only sends its outputs again, with the old file names", async () => {
  const simulator = await start();
  const client = await listen(simulator, "me");
  const first = await run(simulator, picture(), { client_id: "me" });
  await client.until(isEnd);
  client.frames.length = 0;
  const again = await run(simulator, picture(), { client_id: "me" });
  await client.until(isEnd);
  expect(again.outputs).toEqual(first.outputs);
  expect(client.types()).toEqual([
    ...["status", "status", "execution_start", "execution_cached", "executed", "progress_state"],
    ...["execution_success", "status", "executing"],
  ]);
  expect(dataOf(client.frames, "execution_cached")).toMatchObject([{ nodes: ["1", "2"] }]);
});

test("gotcha 13: an output node without UI sends executed with null when cached, and nothing when it runs", async () => {
  const simulator = await start({ recordedNodes: true });
  const client = await listen(simulator, "me");
  const graph = {
    "1": { class_type: "EmptyImage", inputs: { width: 16, height: 16, color: 1 } },
    "2": { class_type: "NoUi", inputs: { images: ["1", 0] } },
  };
  await run(simulator, graph, { client_id: "me" });
  await client.until(isEnd);
  expect(dataOf(client.frames, "executed")).toEqual([]);
  const { id } = await run(simulator, graph, { client_id: "me" });
  await eventually(client.types, (types) => types.includes("executed"));
  expect(dataOf(client.frames, "executed")).toEqual([{ node: "2", display_node: "2", output: null, prompt_id: id }]);
});

test("gotcha 14: progress_state is cumulative and knows neither pending nor error: a failed node stays running", async () => {
  const simulator = await start();
  const client = await listen(simulator, "me");
  await run(simulator, failing("SimError"), { client_id: "me" });
  await client.until(isEnd);
  const states = dataOf(client.frames, "progress_state").map(
    ({ nodes }) =>
      Object.entries(nodes as Record<string, { state: string }>).map(([id, { state }]) => `${id} ${state}`), // as asserted
  );
  expect(states).toEqual([["1 running"], ["1 finished"], ["1 finished", "2 running"]]);
});

test("gotcha 15: progress_state comes before progress, and the preview's place depends on the client", async () => {
  const simulator = await start();
  const knowing = await listen(simulator, "knowing", { supports_preview_metadata: true });
  const plain = await listen(simulator, "plain");
  const graph = (value: string): Record<string, unknown> => ({
    "1": { class_type: "SimSleep", inputs: { ms: 0, steps: 1, preview: true, value } },
    "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
  });
  await run(simulator, graph("a"), { client_id: "knowing" });
  await run(simulator, graph("b"), { client_id: "plain" });
  await knowing.until(isEnd);
  await plain.until(isEnd);
  const around = (types: readonly string[]): readonly string[] =>
    types.slice(types.indexOf("progress") - 2, types.indexOf("progress") + 2);
  expect(around(knowing.types())).toEqual(["progress_state", "BIN4", "progress", "progress_state"]);
  expect(around(plain.types())).toEqual(["executing", "progress_state", "progress", "BIN1"]);
});

test("gotcha 16: from 0.9.1 on frames of progress are 100 ms and half a percent apart, but for first, last and preview", async () => {
  const values = async (version: string, ms: number, steps: number): Promise<unknown[]> => {
    const simulator = await start({ version, clock: steppedClock() });
    const client = await listen(simulator, "me");
    await run(simulator, slow(ms, steps), { client_id: "me" });
    await client.until(isEnd);
    return dataOf(client.frames, "progress").map(({ value }) => value);
  };
  expect(await values("0.33.0", 1000, 20)).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 20]);
  expect(await values("0.33.0", 200_000, 400)).toHaveLength(201); // two steps make half a percent
  expect(await values("0.3.64", 1000, 20)).toHaveLength(20);
});

test("gotcha 17: an interrupted prompt ends as error, not completed, and names the node that ran", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  clock.hold();
  const { prompt_id } = await submit(simulator, slow(1000, 4), { client_id: "me" });
  await clock.release();
  await clock.untilAsleep();
  await post(simulator, "/interrupt", { prompt_id });
  clock.letGo();
  const { status } = await finished(simulator, prompt_id);
  expect(status).toMatchObject({ status_str: "error", completed: false });
  expect(status.messages.at(-1)).toMatchObject(["execution_interrupted", { node_id: "1", node_type: "SimSleep" }]);
});

test("gotcha 18: an interrupt while idle is lost, a foreign id does nothing, and the answer is always 200", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  expect((await post(simulator, "/interrupt")).status).toBe(200);
  expect((await run(simulator, picture())).status.status_str).toBe("success");
  clock.hold();
  const { prompt_id } = await submit(simulator, slow(1000, 2));
  await clock.untilAsleep();
  expect((await post(simulator, "/interrupt", { prompt_id: crypto.randomUUID() })).status).toBe(200);
  clock.letGo();
  expect((await finished(simulator, prompt_id)).status.status_str).toBe("success");
});

test("gotcha 19: a node without progress runs to its end, and the interrupt hits the next one", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  clock.hold();
  const { prompt_id } = await submit(simulator, slow(1000, 0));
  await clock.untilAsleep();
  await post(simulator, "/interrupt");
  clock.letGo();
  const { status } = await finished(simulator, prompt_id);
  expect(status.messages.at(-1)).toMatchObject(["execution_interrupted", { node_id: "2", executed: ["1"] }]);
});

test("gotcha 38: OOM has its paragraph, and every other message ends with a newline", async () => {
  const simulator = await start();
  const oom = await run(simulator, failing("SimOom"));
  const other = await run(simulator, failing("SimError", { type: "KeyError", message: "boom" })); // node 1 is cached
  expect(oom.status.messages.at(-1)).toMatchObject([
    "execution_error",
    {
      exception_type: "torch.OutOfMemoryError",
      exception_message: expect.stringMatching(
        /^Allocation on device \nThis error means you ran out of memory on your GPU\./,
      ),
    },
  ]);
  expect(other.status.messages.at(-1)).toMatchObject([
    "execution_error",
    { exception_type: "KeyError", exception_message: "boom\n", node_type: "SimError", executed: [] },
  ]);
});

test("gotcha 39: a blocker with a message sends execution_error and later execution_success; history shows no error", async () => {
  const simulator = await start();
  const client = await listen(simulator, "me");
  const { status, outputs } = await run(simulator, failing("SimBlocker", { message: "not today" }), {
    client_id: "me",
  });
  await client.until(isEnd);
  const types = client.types();
  expect(types.indexOf("execution_error")).toBeGreaterThan(0);
  expect(types.indexOf("execution_success")).toBeGreaterThan(types.indexOf("execution_error"));
  expect(dataOf(client.frames, "execution_error")).toMatchObject([
    {
      exception_type: "ExecutionBlocked",
      exception_message: "Execution Blocked: not today",
      node_id: "3",
      traceback: [],
    },
  ]);
  expect(dataOf(client.frames, "execution_error")[0]).not.toHaveProperty("timestamp");
  expect(status.status_str).toBe("success");
  expect(status.messages.map(([type]) => type)).not.toContain("execution_error");
  expect(outputs).toEqual({});
});
