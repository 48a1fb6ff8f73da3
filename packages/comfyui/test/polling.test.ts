import { describe, expect, test } from "vitest";
import type { NodeOutputs } from "../src/index.ts";
import { FILE, PROMPT_ID, setup, tupleOf, until } from "./support/comfyScript.ts";
import { status } from "./support/scriptedServer.ts";
import { frames, underWay, watch } from "./support/watching.ts";

const { start, cachedNone, executing, executed, success } = frames;

describe.concurrent("polling is the truth: the socket may fail at any stage", () => {
  const drops: readonly [string, readonly unknown[]][] = [
    ["before the run begins", []],
    ["while a node runs", [start, cachedNone, executing("1")]],
    ["after the last output", [start, cachedNone, executing("2"), executed]],
    ["after success", [start, cachedNone, executing("2"), executed, success]],
  ];

  test.each(drops)("dropped %s", async (_, sent) => {
    await using stage = await setup();
    await stage.submit();
    const told: NodeOutputs[] = [];
    const watched = watch(stage.comfyui, { onOutput: (outputs) => told.push(outputs) });
    await underWay(stage);
    for (const frame of sent) stage.server.send(frame);
    stage.server.sockets[0]?.terminate();
    await until(() => stage.server.sockets.length === 2);
    stage.script.finish();
    expect((await watched).outputs.files).toHaveLength(1);
    expect(told).toHaveLength(1);
  });

  test("dropped before the submission", async () => {
    await using stage = await setup();
    stage.server.onSocket = (socket) => socket.terminate();
    await stage.submit();
    stage.script.finish();
    expect((await watch(stage.comfyui)).outputs.files).toHaveLength(1);
  });

  test("never connected", async () => {
    await using stage = await setup({ sockets: "refuse" });
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    stage.script.finish();
    expect((await watched).outputs.files).toHaveLength(1);
    expect(stage.events.some((event) => event.type === "socket_lost")).toBe(true);
  });

  test("open but silent", async () => {
    await using stage = await setup({ sockets: "silent" });
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    stage.script.finish();
    expect((await watched).outputs.files).toHaveLength(1);
  });

  test("half-open: a peer that answers no ping is replaced, under a new client id", async () => {
    await using stage = await setup({ heartbeatMs: 40 });
    stage.script.routes["POST /prompt"] = (request) => {
      stage.server.send(status(1));
      return stage.script.accept(request);
    };
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    stage.server.sockets[0]?.freeze();
    await until(() => stage.server.sockets.length === 2);
    expect(stage.events).toContainEqual(
      expect.objectContaining({ type: "socket_lost", reason: "no sign of life for 40 ms" }),
    );
    const [first, second] = stage.server.sockets;
    expect(second?.clientId).not.toBe(first?.clientId);
    expect(second?.clientId.startsWith(first?.clientId ?? "?")).toBe(true);
    stage.script.finish();
    await watched;
  });

  test("a cached prompt that was over before anybody watched", async () => {
    await using stage = await setup();
    stage.script.routes["POST /prompt"] = (request) => {
      const reply = stage.script.accept(request);
      const messages = [["execution_cached", { nodes: ["1", "2"], prompt_id: PROMPT_ID, timestamp: 1 }]];
      const status_ = { status_str: "success", completed: true, messages };
      stage.script.history.set(PROMPT_ID, {
        prompt: tupleOf(request.json),
        outputs: { "2": { images: [FILE] } },
        status: status_,
      });
      stage.script.running = [];
      return reply;
    };
    await stage.submit();
    const { isCached, outputs } = await watch(stage.comfyui, { stallMs: 1_000 });
    expect(isCached).toBe(true);
    expect(outputs.files).toHaveLength(1);
  });
});
