import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import {
  eventually,
  finished,
  listen,
  picture,
  post,
  readJson,
  restart,
  run,
  slow,
  socketUrl,
  start,
  submit,
} from "./setup.ts";
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

test("ws_mute: one client's socket gets no frames while its pings are answered, and others hear on", async () => {
  const simulator = await start({ faults: [{ kind: "ws_mute", at: "execution_start" }] });
  const client = await listen(simulator, "me");
  const witness = await listen(simulator, "witness");
  await run(simulator, picture(), { client_id: "me" });
  await eventually(witness.types, (types) => types.length === 4);
  await client.flush();
  expect(client.types()).toEqual(["status", "status", "status", "execution_start"]);
  simulator.faults.clear();
  await run(simulator, picture(2), { client_id: "me" });
  await client.until(isEnd);
});

test("ws_hang: the handshake is never answered, until the fault is cleared", async () => {
  const simulator = await start({ faults: [{ kind: "ws_hang" }] });
  const hanging = new WebSocket(socketUrl(simulator));
  let isOver = false;
  hanging.on("error", () => {
    isOver = true;
  });
  await eventually(
    () => simulator.faults.list(),
    (left) => left.length === 0,
  );
  expect((await listen(simulator, "me")).types()).toEqual(["status"]);
  expect(isOver).toBe(false);
  simulator.faults.clear();
  await eventually(() => isOver, Boolean);
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

test("a zombie from the start runs nothing; one that died after a prompt shows nothing as running", async () => {
  type Queue = { queue_running: unknown[]; queue_pending: unknown[] };
  const queueOf = async ({ url }: { url: string }) => {
    const { queue_running, queue_pending } = await readJson<Queue>(fetch(`${url}/queue`));
    return [queue_running.length, queue_pending.length];
  };
  const stillborn = await start({ faults: [{ kind: "zombie", at: "queued" }] });
  expect([(await submit(stillborn, picture())).status, (await submit(stillborn, picture(2))).status]).toEqual([
    200, 200,
  ]);
  expect(await queueOf(stillborn)).toEqual([0, 2]);
  const dead = await start({ faults: [{ kind: "zombie", at: "done" }] });
  expect((await run(dead, picture())).status.status_str).toBe("success");
  await submit(dead, picture(2));
  expect(await queueOf(dead)).toEqual([0, 1]);
  expect(dead.stats().prompts.map(({ outcome }) => outcome)).toEqual(["success", undefined]);
  await restart(dead);
  expect((await run(dead, picture(3))).status.status_str).toBe("success");
});

test("deaf: an interrupt is noticed only after a while, or never, in a node that shows progress", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, faults: [{ kind: "deaf", ms: 2500 }] });
  clock.hold();
  const endOf = async (steps: number) => {
    const { prompt_id } = await submit(simulator, slow(steps * 1000, steps, `${steps}`));
    await clock.untilAsleep();
    await post(simulator, "/interrupt", { prompt_id });
    clock.letGo();
    const { status } = await finished(simulator, prompt_id);
    clock.hold();
    const { busyMs } = simulator.stats().prompts.find(({ promptId }) => promptId === prompt_id) ?? {};
    return [status.messages.at(-1)?.[0], busyMs];
  };
  expect(await endOf(9)).toEqual(["execution_interrupted", 4000]); // heard of it at 1 s, and noticed it 2.5 s later
  simulator.faults.add({ kind: "deaf" });
  expect(await endOf(8)).toEqual(["execution_success", 8000]);
  simulator.faults.clear();
  expect(await endOf(7)).toEqual(["execution_interrupted", 1000]);
});

test("deaf: a prompt that only takes its least time does not hear either", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, execMs: 1000, faults: [{ kind: "deaf" }] });
  clock.hold();
  const { prompt_id } = await submit(simulator, picture());
  await clock.untilAsleep();
  await post(simulator, "/interrupt");
  clock.letGo();
  expect((await finished(simulator, prompt_id)).status.status_str).toBe("success");
});

test("disk_full: a node that saves fails as Python does, and the next one finds room", async () => {
  const simulator = await start({ faults: [{ kind: "disk_full" }] });
  const { status } = await run(simulator, picture());
  expect(status.messages.at(-1)?.[1]).toMatchObject({
    node_type: "SaveImage",
    exception_type: "OSError",
    exception_message: "[Errno 28] No space left on device\n",
  });
  expect((await run(simulator, picture())).status.status_str).toBe("success");
});

test("a simulator that is closed while it restarts stays closed, and its own folder is removed", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  clock.hold();
  const restarted = simulator.restart(5000);
  await clock.untilAsleep();
  await simulator.close();
  clock.letGo();
  await restarted;
  await expect(fetch(simulator.url)).rejects.toThrow();
  expect(existsSync(simulator.dir)).toBe(false);
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
