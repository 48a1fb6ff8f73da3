import { randomUUID } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import type { Fault } from "../src/index.ts";
import { executions, graph, never, pair, render, saving, sleeping, untilRunning } from "./clientSetup.ts";
import { picture, post, slow } from "./setup.ts";

/*
 * Our own client against this server with faults of HTTP: whatever becomes of an answer, a prompt is executed once, and its
 * end is known. The numbers are those of the fault matrix (reference/faults.md §2.3).
 */

describe("fault 17: a server that takes a request and does not answer", () => {
  test("POST /prompt, before and after it was queued: found by asking or known to be absent, never sent again", async () => {
    const taken = await pair({}, { submitTimeoutMs: 500 });
    taken.simulator.faults.add({ kind: "http_hang", path: "/prompt", method: "POST", when: "after" });
    expect((await render(taken)).outputs.files).toHaveLength(1);
    expect(executions(taken)).toEqual([1]);
    const refused = await pair({}, { submitTimeoutMs: 500 });
    refused.simulator.faults.add({ kind: "http_hang", path: "/prompt", method: "POST" });
    await expect(render(refused)).rejects.toMatchObject({ code: "unknown_outcome", facts: { confirmedAbsent: true } });
    expect(refused.simulator.stats().requests["POST /prompt"]).toBeUndefined();
  });

  test.each(["/history/*", "/queue"])("GET %s for a while: the watch asks again", async (path) => {
    const both = await pair({ faults: [{ kind: "http_hang", path, times: 2 }] }, { requestTimeoutMs: 200 });
    expect((await render(both)).outputs.files).toHaveLength(1);
    expect(executions(both)).toEqual([1]);
  });

  test("everything, for good: the watch ends as busy, and so does a cancellation", async () => {
    const both = await pair({}, { requestTimeoutMs: 100, unreachableMs: 100 });
    const { promptId } = await both.comfyui.submit({ promptId: randomUUID(), workflow: sleeping(0) });
    both.simulator.faults.add({ kind: "http_hang", path: "*", times: 10_000 });
    const watched = both.comfyui.watch(promptId, { signal: never, stallMs: 0 });
    await expect(watched).rejects.toMatchObject({ code: "busy" });
    await expect(both.comfyui.cancel(promptId, { deadlineMs: 100 })).rejects.toMatchObject({ code: "busy" });
  });

  test("GET /view: the file can be asked for again", async () => {
    const both = await pair({}, { requestTimeoutMs: 500, idleMs: 500 });
    const [file] = (await render(both)).outputs.files;
    if (!file) throw new Error("it has made no file");
    both.simulator.faults.add({ kind: "http_hang", path: "/view" });
    await expect(both.comfyui.view(file)).rejects.toMatchObject({ code: "busy" });
    for (const kind of ["http_stall", "http_cut"] as const) {
      both.simulator.faults.add({ kind, path: "/view" });
      const half = await both.comfyui.view(file);
      await expect(buffer(half.body)).rejects.toThrow();
    }
    const whole = await both.comfyui.view(file);
    expect((await buffer(whole.body)).length).toBe(whole.sizeBytes);
  });
});

test("fault 23: prompts whose frames come before the answer to their submission complete, 200 of 200", async () => {
  const both = await pair({ faults: [{ kind: "prompt_answer_late", ms: 5, times: 100 }] });
  for (let seed = 1; seed <= 200; seed += 1) {
    const { outputs } = await render(both, {
      workflow: graph(picture(seed, `seed-${seed}`)),
      watch: { stallMs: 10_000 },
    });
    expect(outputs.files.map(({ filename }) => filename)).toEqual([`seed-${seed}_00001_.png`]);
  }
  expect(executions(both)).toEqual(Array.from({ length: 200 }, () => 1));
}, 60_000);

test("fault 24: a success that is announced before history is readable is waited for, and its outputs are whole", async () => {
  const both = await pair({ faults: [{ kind: "history_delay", ms: 400 }] });
  const { entry, outputs } = await render(both, { watch: { stallMs: 10_000 } });
  expect(outputs.files).toHaveLength(1);
  expect(entry.status?.completed).toBe(true);
  expect(executions(both)).toEqual([1]);
});

describe("fault 25: somebody clears the history at the end", () => {
  test("every frame was heard: the outputs are known, and nothing is rendered again", async () => {
    const both = await pair({ faults: [{ kind: "history_evict", at: "done" }] }, { pollMs: 60_000 });
    const { outputs } = await render(both);
    expect(outputs.files).toHaveLength(1);
    expect((await both.comfyui.view(outputs.files[0] ?? { filename: "" })).sizeBytes).toBeGreaterThan(0);
    expect(executions(both)).toEqual([1]);
  });

  test("nothing was heard: the prompt is lost, and not guessed", async () => {
    const faults: Fault[] = [
      { kind: "history_evict", at: "done" },
      { kind: "ws_refuse", times: 1_000 },
    ];
    const both = await pair({ faults });
    await expect(render(both, { workflow: graph({ ...slow(200, 2), ...saving }) })).rejects.toMatchObject({
      code: "prompt_lost",
    });
  });
});

describe("fault 29: 200 with node errors", () => {
  const partial = graph({ ...picture(), "5": { class_type: "PreviewImage", inputs: { images: ["1", 0] } } });

  test("the answer is handed on: it is the caller's to refuse the rest", async () => {
    const both = await pair({ faults: [{ kind: "node_errors_200" }] });
    const { nodeErrors } = await both.comfyui.submit({ promptId: randomUUID(), workflow: partial });
    expect(Object.keys(nodeErrors)).toEqual(["5"]);
  });

  test("and the answer is lost: what the server dropped is known nevertheless", async () => {
    const lost: Fault = { kind: "http_reset", path: "/prompt", method: "POST", when: "after" };
    const both = await pair({ faults: [{ kind: "node_errors_200" }, lost] });
    const { nodeErrors } = await both.comfyui.submit({ promptId: randomUUID(), workflow: partial });
    expect(Object.keys(nodeErrors)).toEqual(["5"]);
    expect(both.simulator.stats().prompts.map(({ submitted }) => submitted)).toEqual([1]);
  });
});

describe("fault 30: the answer to POST /prompt is lost after the prompt was queued", () => {
  const ways: readonly Fault[] = [
    { kind: "http_500", path: "/prompt", method: "POST", when: "after" },
    { kind: "http_500", path: "/prompt", method: "POST", when: "after", status: 502 },
    { kind: "http_reset", path: "/prompt", method: "POST", when: "after" },
    { kind: "http_cut", path: "/prompt", method: "POST" },
  ];

  test.each(ways)("%o: it is found, and executed once", async (fault) => {
    const both = await pair({ faults: [fault] });
    expect((await render(both)).outputs.files).toHaveLength(1);
    expect(both.simulator.stats().prompts.map(({ submitted, started }) => [submitted, started])).toEqual([[1, 1]]);
  });

  test("and the server is killed right then: known to be absent only when the new one says so", async () => {
    const lost: Fault = { kind: "http_reset", path: "/prompt", method: "POST", when: "after" };
    const both = await pair({ faults: [{ kind: "restart", at: "queued" }, lost] });
    const submitted = both.comfyui.submit({ promptId: randomUUID(), workflow: sleeping() });
    await expect(submitted).rejects.toMatchObject({ code: "unknown_outcome", facts: { confirmedAbsent: true } });
  });
});

describe("a cancellation", () => {
  test("names the node that ignored it for seconds, and says that it stopped", async () => {
    const both = await pair({ faults: [{ kind: "deaf", ms: 4_500 }] });
    const { promptId } = await both.comfyui.submit({ promptId: randomUUID(), workflow: sleeping() });
    await untilRunning(both);
    const cancelled = await both.comfyui.cancel(promptId, { deadlineMs: 60_000 });
    expect(cancelled).toMatchObject({ stopped: true, stuckNode: { node_id: "1", class_type: "SimSleep" } });
  });

  test("of one prompt leaves every other alone, in every version", async () => {
    for (const version of ["0.33.0", "0.3.64"]) {
      const both = await pair({ version });
      const ids = [randomUUID(), randomUUID(), randomUUID()] as const;
      for (const promptId of ids) await both.comfyui.submit({ promptId, workflow: sleeping() });
      await untilRunning(both);
      expect(await both.comfyui.cancel(ids[1], { deadlineMs: 60_000 })).toMatchObject({ stopped: true });
      expect(await both.comfyui.cancel(ids[0], { deadlineMs: 60_000 })).toMatchObject({ stopped: true });
      expect((await both.comfyui.queue()).running.map(({ promptId }) => promptId)).toEqual([ids[2]]);
      await post(both.simulator, "/interrupt");
    }
  });
});
