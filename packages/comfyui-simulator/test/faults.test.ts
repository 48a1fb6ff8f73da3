import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { FAULT_KINDS } from "../src/index.ts";
import { eventually, finished, listen, picture, post, readJson, run, slow, socketUrl, start, submit } from "./setup.ts";
import { steppedClock } from "./steppedClock.ts";

const isEnd = ({ type, data }: { type: string; data: Record<string, unknown> }): boolean =>
  type === "executing" && data["node"] === null;

test("ws_drop: the client's socket breaks off after the frame of the stage, and the prompt goes on", async () => {
  const simulator = await start({ faults: [{ kind: "ws_drop", at: "executing", after: 2 }] });
  const client = await listen(simulator, "me");
  const witness = await listen(simulator, "witness");
  const { id, status } = await run(simulator, picture(), { client_id: "me" });
  await eventually(
    () => client.socket.readyState,
    (state) => state === WebSocket.CLOSED,
  );
  expect(status.status_str).toBe("success");
  expect(client.frames.at(-1)).toEqual({ type: "executing", data: { node: "2", display_node: "2", prompt_id: id } });
  expect(witness.socket.readyState).toBe(WebSocket.OPEN);
});

test("ws_refuse: the next handshake is refused, the one after it is not", async () => {
  const simulator = await start({ faults: [{ kind: "ws_refuse" }] });
  const refused = new WebSocket(socketUrl(simulator));
  const status = await new Promise((resolve) => {
    refused.on("unexpected-response", (_, answer) => resolve(answer.statusCode)).on("error", () => {});
  });
  expect(status).toBe(503);
  expect((await listen(simulator, "me")).types()).toEqual(["status"]);
});

test("ws_silent: the socket stays open, and neither frames nor pongs come until the fault is cleared", async () => {
  const simulator = await start({ faults: [{ kind: "ws_silent", at: "execution_start" }] });
  const client = await listen(simulator, "me");
  const witness = await listen(simulator, "witness");
  let pongs = 0;
  client.socket.on("pong", () => pongs++);
  await run(simulator, picture(), { client_id: "me" });
  client.socket.ping();
  await eventually(witness.types, (types) => types.length === 4);
  await witness.flush();
  expect(client.types()).toEqual(["status", "status", "status", "execution_start"]);
  expect([pongs, client.socket.readyState]).toEqual([0, WebSocket.OPEN]);
  simulator.faults.clear();
  await client.flush();
  expect(pongs).toBe(1);
});

test("frames_stop: nobody gets frames while pings are answered, and they all come when the fault is cleared", async () => {
  const simulator = await start({ faults: [{ kind: "frames_stop", at: "execution_start" }] });
  const client = await listen(simulator, "me");
  await run(simulator, picture(), { client_id: "me" });
  await client.flush();
  expect(client.types()).toEqual(["status", "status", "status", "execution_start"]);
  simulator.faults.clear();
  await client.until(isEnd);
});

test("http_hang: the request gets no answer, acted upon or not, until the fault is cleared", async () => {
  const simulator = await start({ faults: [{ kind: "http_hang", path: "/prompt", method: "POST", when: "after" }] });
  let isAnswered = false;
  const hanging = submit(simulator, picture()).then(
    () => {
      isAnswered = true;
    },
    (error: unknown) => error,
  );
  await eventually(simulator.stats, ({ prompts }) => prompts[0]?.outcome === "success");
  expect(isAnswered).toBe(false);
  simulator.faults.clear();
  expect(await hanging).toBeInstanceOf(Error);
});

test("http_500 and http_reset: before the server acts nothing is queued, after it everything is", async () => {
  const simulator = await start();
  const accepted = (): number => simulator.stats().prompts.length;
  simulator.faults.add({ kind: "http_500", path: "/prompt", method: "POST", status: 502 });
  expect((await post(simulator, "/api/prompt", { prompt: picture() })).status).toBe(502);
  expect(accepted()).toBe(0);
  simulator.faults.add({ kind: "http_500", path: "/prompt", when: "after" });
  expect((await post(simulator, "/prompt", { prompt: picture() })).status).toBe(500);
  expect(accepted()).toBe(1);
  simulator.faults.add({ kind: "http_reset", path: "/prompt", when: "after", times: 2 });
  await expect(post(simulator, "/prompt", { prompt: picture() })).rejects.toThrow();
  await expect(post(simulator, "/prompt", { prompt: picture() })).rejects.toThrow();
  expect(accepted()).toBe(3);
  expect((await post(simulator, "/prompt", { prompt: picture() })).status).toBe(200);
});

test("http_slow: the answer waits, and then is the usual one", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, faults: [{ kind: "http_slow", path: "/hist*", ms: 700 }] });
  clock.hold();
  const answer = fetch(`${simulator.url}/history`);
  await clock.untilAsleep();
  clock.letGo();
  expect(await readJson(answer)).toEqual({});
});

test("history_evict: the entry is gone as soon as it is written", async () => {
  const simulator = await start({ faults: [{ kind: "history_evict" }] });
  const client = await listen(simulator, "me");
  const { prompt_id } = await submit(simulator, picture(), { client_id: "me" });
  await client.until(isEnd);
  await eventually(
    () => readJson<object>(fetch(`${simulator.url}/history/${prompt_id}`)),
    (history) => Object.keys(history).length === 0,
  );
  expect(simulator.faults.list()).toEqual([]);
});

test("output_missing and output_truncated: the entry is whole, the file is not", async () => {
  const simulator = await start({ faults: [{ kind: "output_missing" }] });
  const path = (id: number): string => join(simulator.dir, "output", `ComfyUI_0000${id}_.png`);
  const { outputs } = await run(simulator, picture(1));
  expect(outputs["2"]?.["images"]).toHaveLength(1);
  expect(existsSync(path(1))).toBe(false);
  await run(simulator, picture(1, "whole"));
  simulator.faults.add({ kind: "output_truncated" });
  await run(simulator, picture(2));
  const whole = statSync(join(simulator.dir, "output", "whole_00001_.png")).size;
  expect(statSync(path(1)).size).toBeLessThan(whole * 0.75);
});

test("zombie, crash and restart strike at their stage", async () => {
  const zombie = await start({ faults: [{ kind: "zombie", at: "executing", nodeClass: "SaveImage" }] });
  await submit(zombie, picture());
  await eventually(
    () => zombie.faults.list(),
    (left) => left.length === 0,
  );
  await submit(zombie, picture(2));
  const queue = await readJson<{ queue_running: unknown[]; queue_pending: unknown[] }>(fetch(`${zombie.url}/queue`));
  expect([queue.queue_running.length, queue.queue_pending.length]).toEqual([1, 1]);

  let crashes = 0;
  const crash = await start({ onCrash: () => crashes++, faults: [{ kind: "crash", at: "execution_start" }] });
  await submit(crash, picture());
  await eventually(
    () => crashes,
    (count) => count === 1,
  );

  const reborn = await start({ faults: [{ kind: "restart", at: "executed" }] });
  await submit(reborn, picture()).catch(() => undefined);
  await eventually(reborn.stats, ({ restarts }) => restarts === 1);
  const answer = await eventually(
    () =>
      fetch(`${reborn.url}/history`)
        .then((found) => found.json())
        .catch(() => undefined),
    (found) => found !== undefined,
  );
  expect(answer).toEqual({});
});

test("interrupt: somebody else's global interrupt ends the prompt at the wanted step", async () => {
  const simulator = await start({ faults: [{ kind: "interrupt", at: "progress", after: 2 }] });
  const client = await listen(simulator, "me");
  await run(simulator, slow(800, 4), { client_id: "me" });
  await client.until(isEnd);
  expect(client.types().filter((type) => type === "progress")).toHaveLength(2);
  expect(client.types()).toContain("execution_interrupted");
});

test("oom_next fails one prompt; cuda_next fails every later one until the server restarts", async () => {
  const simulator = await start({ faults: [{ kind: "oom_next", nodeClass: "SaveImage" }] });
  const outcome = async (seed: number): Promise<unknown> => {
    const { status } = await run(simulator, picture(seed));
    return status.messages.at(-1)?.[1]["exception_type"] ?? status.status_str;
  };
  expect(await outcome(1)).toBe("torch.OutOfMemoryError");
  expect(await outcome(1)).toBe("success");
  simulator.faults.add({ kind: "cuda_next" });
  expect([await outcome(2), await outcome(3)]).toEqual(["torch.AcceleratorError", "torch.AcceleratorError"]);
  await simulator.restart();
  await eventually(
    () =>
      fetch(simulator.url).then(
        () => true,
        () => false,
      ),
    Boolean,
  );
  expect(await outcome(4)).toBe("success");
});

test("exec_slow stretches simulated time, execMs is the least time of a prompt, speed divides both", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, execMs: 1000, speed: 2, faults: [{ kind: "exec_slow", factor: 3 }] });
  const busyMs = async (graph: object): Promise<number | undefined> => {
    const { id } = await run(simulator, graph);
    return simulator.stats().prompts.find(({ promptId }) => promptId === id)?.busyMs;
  };
  expect(await busyMs(slow(2000, 2))).toBe(3000);
  expect(await busyMs(picture())).toBe(1500);
  simulator.faults.clear("exec_slow");
  expect(await busyMs(slow(100, 1))).toBe(500);
});

test("node_errors_200: the prompt is accepted with errors, and its last output does not run", async () => {
  const simulator = await start({ faults: [{ kind: "node_errors_200" }] });
  const graph = { ...picture(), "3": { class_type: "PreviewImage", inputs: { images: ["1", 0] } } };
  const { status, prompt_id, node_errors } = await submit(simulator, graph);
  expect([status, Object.keys(node_errors)]).toEqual([200, ["3"]]);
  expect(Object.keys((await finished(simulator, prompt_id)).outputs)).toEqual(["2"]);
});

test("validate_ms: while a prompt is validated the server answers nobody", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, faults: [{ kind: "validate_ms", ms: 5000 }] });
  clock.hold();
  const order: string[] = [];
  const submission = submit(simulator, picture()).then(() => order.push("submission"));
  await clock.untilAsleep();
  const other = fetch(`${simulator.url}/queue`).then(() => order.push("other"));
  expect(order).toEqual([]);
  clock.letGo();
  await Promise.all([submission, other]);
  expect(simulator.faults.list()).toHaveLength(1); // it lasts
});

test("upload_fail: one upload is answered with 500 and stores nothing", async () => {
  const simulator = await start({ faults: [{ kind: "upload_fail" }] });
  const upload = async (): Promise<number> => {
    const form = new FormData();
    form.set("image", new Blob(["x"]), "x.txt");
    return (await fetch(`${simulator.url}/upload/image`, { method: "POST", body: form })).status;
  };
  expect(await upload()).toBe(500);
  expect(existsSync(join(simulator.dir, "input", "x.txt"))).toBe(false);
  expect(await upload()).toBe(200);
});

test("faults are set, listed and cleared over HTTP, and nonsense is refused with the reason", async () => {
  const simulator = await start();
  const path = "/simulator/faults";
  const listed = {
    faults: [
      { kind: "oom_next", id: 1, left: 1 },
      { kind: "exec_slow", factor: 2, id: 2, left: null },
    ],
  };
  expect(await readJson(post(simulator, path, [{ kind: "oom_next" }, { kind: "exec_slow", factor: 2 }]))).toEqual(
    listed,
  );
  expect(await readJson(fetch(simulator.url + path))).toEqual(listed);
  for (const wrong of [
    { kind: "nonsense" },
    { kind: "http_500" },
    { kind: "zombie", at: "never" },
    { kind: "zombie", x: 1 },
    7,
  ]) {
    const answer = await post(simulator, path, wrong);
    expect([answer.status, (await readJson<{ error: string }>(answer)).error]).toEqual([
      400,
      expect.stringContaining("is not a fault"),
    ]);
  }
  await fetch(`${simulator.url}${path}?kind=oom_next`, { method: "DELETE" });
  expect(simulator.faults.list().map(({ kind }) => kind)).toEqual(["exec_slow"]);
  await fetch(simulator.url + path, { method: "DELETE" });
  expect(simulator.faults.list()).toEqual([]);
});

test("every kind of fault stands in the README", async () => {
  const { readFileSync } = await import("node:fs");
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  expect(FAULT_KINDS.filter((kind) => !readme.includes(`\`${kind}\``))).toEqual([]);
});
