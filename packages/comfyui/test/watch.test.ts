import { describe, expect, test } from "vitest";
import type { ComfyUi, NodeOutputs, NodeStarted, Preview, PromptProgress, WatchOptions } from "../src/index.ts";
import { encodeBinaryFrame } from "../src/wire/index.ts";
import { FILE, PROMPT_ID, type Stage, setup, successEntry, tupleOf, until } from "./support/comfyScript.ts";
import { status } from "./support/scriptedServer.ts";

const never = new AbortController().signal;

function watch(comfyui: ComfyUi, options: Partial<WatchOptions> = {}) {
  return comfyui.watch(PROMPT_ID, { signal: never, stallMs: 0, ...options });
}

const executing = (node: string | null) => ({
  type: "executing",
  data: { node, display_node: node, prompt_id: PROMPT_ID },
});
const executed = {
  type: "executed",
  data: { node: "2", display_node: "2", output: { images: [FILE] }, prompt_id: PROMPT_ID },
};
const at = (type: string) => ({ type, data: { prompt_id: PROMPT_ID, timestamp: 1 } });
const start = at("execution_start");
const cachedNone = { type: "execution_cached", data: { nodes: [], prompt_id: PROMPT_ID, timestamp: 1 } };
const success = at("execution_success");

/** Waits until the watch has asked for the queue, so that it is under way. */
async function underWay({ server }: Stage): Promise<void> {
  const before = server.seen("GET", "/queue").length;
  await until(() => server.seen("GET", "/queue").length > before);
}

describe("frames are hints", () => {
  test("frames that come before the answer to the submission are heard", async () => {
    await using stage = await setup();
    stage.script.routes["POST /prompt"] = async (request) => {
      const reply = stage.script.accept(request);
      stage.server.send(start);
      stage.server.send(cachedNone);
      stage.server.send(executing("1"));
      await stage.server.sockets[0]?.flushed();
      return reply;
    };
    await stage.submit();
    const nodes: NodeStarted[] = [];
    const watched = watch(stage.comfyui, { onNode: (node) => nodes.push(node) });
    await until(() => nodes.length > 0);
    expect(nodes).toEqual([{ node_id: "1", class_type: "EmptyImage" }]);
    stage.script.finish();
    await watched;
  });

  test("success is not believed before history is readable", async () => {
    await using stage = await setup();
    await stage.submit();
    let isDone = false;
    const watched = watch(stage.comfyui).finally(() => {
      isDone = true;
    });
    await underWay(stage);
    stage.server.send(success);
    stage.server.send(executing(null));
    await underWay(stage);
    await underWay(stage);
    expect(isDone).toBe(false);
    stage.script.finish();
    expect((await watched).outputs.files).toHaveLength(1);
  });

  test("a frame hurries the look into history: long polls are not waited for", async () => {
    await using stage = await setup({ pollMs: 60_000 });
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    stage.script.finish();
    stage.server.send(executing(null));
    expect((await watched).outputs.files[0]).toMatchObject({ node_id: "2", filename: FILE.filename });
  });

  test("progress is told per node and per prompt, and other prompts' frames are not ours", async () => {
    await using stage = await setup();
    await stage.submit();
    const told: PromptProgress[] = [];
    const watched = watch(stage.comfyui, { onProgress: (progress) => told.push(progress) });
    await underWay(stage);
    stage.server.send({ type: "execution_cached", data: { nodes: ["1"], prompt_id: PROMPT_ID, timestamp: 1 } });
    stage.server.send({ type: "progress", data: { value: 9, max: 9, node: "2", prompt_id: "someone-else" } });
    stage.server.send({ type: "progress", data: { value: 3, max: 20, node: "2", prompt_id: PROMPT_ID } });
    await until(() => told.length === 2);
    expect(told).toEqual([
      { nodesTotal: 2, nodesDone: 1, nodesCached: 1 },
      {
        nodesTotal: 2,
        nodesDone: 1,
        nodesCached: 1,
        node: { node_id: "2", class_type: "SaveImage", value: 3, max: 20 },
      },
    ]);
    stage.script.finish();
    await watched;
  });

  test("servers without progress_state count a node as done when the next one begins", async () => {
    await using stage = await setup();
    await stage.submit();
    const done: number[] = [];
    const watched = watch(stage.comfyui, { onProgress: ({ nodesDone }) => done.push(nodesDone) });
    await underWay(stage);
    for (const frame of [start, cachedNone, executing("1"), executing("2"), executed]) stage.server.send(frame);
    await until(() => done.length === 3);
    expect(done).toEqual([0, 1, 2]);
    stage.script.finish();
    await watched;
  });

  test("outputs are told as early as they are known, once, and values too", async () => {
    await using stage = await setup();
    await stage.submit();
    const told: NodeOutputs[] = [];
    const watched = watch(stage.comfyui, { onOutput: (outputs) => told.push(outputs) });
    await underWay(stage);
    stage.server.send(executed);
    await until(() => told.length === 1);
    stage.script.finish({ "2": { images: [FILE] }, "7": { text: ["a caption"] } });
    const { outputs } = await watched;
    expect(told.map((node) => node.node_id)).toEqual(["2", "7"]);
    expect(outputs.values).toEqual([{ node_id: "7", key: "text", index: 0, value: "a caption" }]);
  });

  test("previews and node texts reach the prompt that is at work", async () => {
    await using stage = await setup();
    await stage.submit();
    const previews: Preview[] = [];
    const texts: string[] = [];
    const watched = watch(stage.comfyui, {
      onPreview: (preview) => previews.push(preview),
      onText: ({ text }) => texts.push(text),
    });
    await underWay(stage);
    const [socket] = stage.server.sockets;
    const image = Buffer.from("ffd8ffe0", "hex");
    const preview = encodeBinaryFrame({ kind: "preview", contentType: "image/png", image });
    socket?.sendRaw(preview); // nobody is at work yet
    socket?.send(executing("1"));
    socket?.sendRaw(preview);
    socket?.sendRaw(encodeBinaryFrame({ kind: "text", nodeId: "1", text: "16x16" }));
    socket?.sendRaw(encodeBinaryFrame({ kind: "text", nodeId: "99", text: "another prompt's" }));
    const metadata = { node_id: "1", prompt_id: "someone-else", image_type: "image/jpeg" };
    socket?.sendRaw(encodeBinaryFrame({ kind: "preview_with_metadata", metadata, image }));
    stage.script.finish();
    socket?.send(executing(null));
    await watched;
    expect(previews).toEqual([{ contentType: "image/png", image }]);
    expect(texts).toEqual(["16x16"]);
  });

  test("a callback that throws is reported and does the prompt no harm", async () => {
    await using stage = await setup();
    await stage.submit();
    const watched = watch(stage.comfyui, {
      onOutput() {
        throw new Error("my mistake");
      },
    });
    stage.script.finish();
    expect((await watched).outputs.files).toHaveLength(1);
    expect(stage.events.filter((event) => event.type === "listener_failed")).toHaveLength(1);
  });
});

describe("polling is the truth: the socket may fail at any stage", () => {
  const drops: readonly [string, readonly unknown[]][] = [
    ["before the run begins", []],
    ["while a node runs", [start, cachedNone, executing("1")]],
    ["after the last output", [start, cachedNone, executing("2"), executed]],
    ["after success", [start, cachedNone, executing("2"), executed, success]],
  ];

  test.each(drops)("dropped %s", async (_, frames) => {
    await using stage = await setup();
    await stage.submit();
    const told: NodeOutputs[] = [];
    const watched = watch(stage.comfyui, { onOutput: (outputs) => told.push(outputs) });
    await underWay(stage);
    for (const frame of frames) stage.server.send(frame);
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
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    stage.server.sockets[0]?.freeze();
    await until(() => stage.server.sockets.length === 2);
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

describe("a watch always ends", () => {
  test("a restart that forgot the prompt is prompt_lost, after the second look", async () => {
    await using stage = await setup();
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    stage.script.running = [];
    const before = stage.server.seen("GET", "/queue").length;
    await expect(watched).rejects.toMatchObject({ code: "prompt_lost", facts: { promptId: PROMPT_ID } });
    expect(stage.server.seen("GET", "/queue").length - before).toBe(2);
  });

  test("a prompt that is unknown once and then back is not lost", async () => {
    await using stage = await setup();
    await stage.submit();
    const running = stage.script.running;
    let asked = 0;
    stage.script.routes["GET /queue"] = () => {
      asked += 1;
      if (asked === 4) stage.script.finish();
      return { json: { queue_running: asked % 2 === 0 ? [] : running, queue_pending: [] } };
    };
    expect((await watch(stage.comfyui)).outputs.files).toHaveLength(1);
  });

  test("history cleared by somebody else does not cost a second render when every frame was heard", async () => {
    await using stage = await setup();
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    for (const frame of [start, cachedNone, executing("2"), executed, success, executing(null)])
      stage.server.send(frame);
    stage.script.running = [];
    expect((await watched).outputs.files).toEqual([{ node_id: "2", key: "images", index: 0, ...FILE }]);
  });

  test("a success of which frames may be missing is lost, not guessed", async () => {
    await using stage = await setup();
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    for (const frame of [executed, success]) stage.server.send(frame);
    stage.script.running = [];
    await expect(watched).rejects.toMatchObject({ code: "prompt_lost" });
  });

  test("a zombie server, which accepts and never runs, is stalled", async () => {
    await using stage = await setup();
    await stage.submit();
    const watched = watch(stage.comfyui, { stallMs: 500 });
    await underWay(stage);
    stage.server.send(executing("2"));
    await expect(watched).rejects.toMatchObject({
      code: "stalled",
      facts: { stuckNode: { node_id: "2", class_type: "SaveImage" } },
    });
  });

  test("a zombie is noticed without a socket too", async () => {
    await using stage = await setup({ sockets: "refuse" });
    await stage.submit();
    await expect(watch(stage.comfyui, { stallMs: 40 })).rejects.toMatchObject({ code: "stalled" });
  });

  test("a server that is away for a moment is waited for", async () => {
    await using stage = await setup();
    await stage.submit();
    const down = { status: 502, text: "Bad Gateway" };
    stage.script.routes[`GET /history/${PROMPT_ID}`] = () => down;
    const watched = watch(stage.comfyui);
    await until(() => stage.events.some((event) => event.type === "prompt_unreachable"));
    delete stage.script.routes[`GET /history/${PROMPT_ID}`];
    stage.script.finish();
    expect((await watched).outputs.files).toHaveLength(1);
  });

  test("a server that stays away is unreachable", async () => {
    await using stage = await setup({ unreachableMs: 100 });
    await stage.submit();
    stage.script.routes[`GET /history/${PROMPT_ID}`] = () => "reset";
    await expect(watch(stage.comfyui)).rejects.toMatchObject({ code: "unreachable" });
  });

  test("an aborted signal ends it with its own reason, and cancels nothing", async () => {
    await using stage = await setup();
    await stage.submit();
    const stop = new AbortController();
    const watched = watch(stage.comfyui, { signal: stop.signal });
    await underWay(stage);
    const reason = new Error("the job was canceled");
    stop.abort(reason);
    await expect(watched).rejects.toBe(reason);
    expect(stage.server.seen("POST", "/interrupt")).toHaveLength(0);
  });

  test("closing the client ends it", async () => {
    await using stage = await setup({ pollMs: 60_000 });
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    await Promise.all([expect(watched).rejects.toMatchObject({ code: "closed" }), stage.comfyui.close()]);
  });
});

describe("the socket", () => {
  test("announces preview metadata in its first frame, and submits under its own client id", async () => {
    await using stage = await setup({ clientId: "worker-7" });
    await stage.submit();
    const [socket] = stage.server.sockets;
    expect(socket?.clientId).toBe("worker-7");
    await until(() => socket?.received.length === 1);
    expect(socket?.received).toEqual([{ type: "feature_flags", data: { supports_preview_metadata: true } }]);
    expect(stage.server.seen("POST", "/prompt")[0]?.json).toMatchObject({
      client_id: "worker-7",
      prompt_id: PROMPT_ID,
    });
  });

  test("there is one, however many prompts are watched", async () => {
    await using stage = await setup();
    stage.script.history.set("a", successEntry(tupleOf({ prompt_id: "a" }), {}));
    stage.script.history.set("b", successEntry(tupleOf({ prompt_id: "b" }), {}));
    await stage.submit();
    await Promise.all(["a", "b"].map((id) => stage.comfyui.watch(id, { signal: never, stallMs: 0 })));
    expect(stage.server.sockets).toHaveLength(1);
  });

  test("keeps its client id after a clean close", async () => {
    await using stage = await setup();
    await stage.submit();
    stage.server.sockets[0]?.close();
    await until(() => stage.server.sockets.length === 2);
    expect(stage.server.sockets[1]?.clientId).toBe(stage.server.sockets[0]?.clientId);
  });

  test("one that hears nothing of our own submission is replaced, under a new client id", async () => {
    await using stage = await setup({ heartbeatMs: 60 });
    await stage.submit(); // greeted, but no status frame follows
    await until(() => stage.server.sockets.length === 2);
    expect(stage.server.sockets[1]?.clientId).not.toBe(stage.server.sockets[0]?.clientId);
  });

  test("one that hears of our submission is kept", async () => {
    await using stage = await setup({ heartbeatMs: 60 });
    stage.script.routes["POST /prompt"] = (request) => {
      stage.server.send(status(1));
      return stage.script.accept(request);
    };
    await stage.submit();
    await until(() => (stage.server.sockets[0]?.pings() ?? 0) > 3); // more than a heartbeat has passed
    expect(stage.server.sockets).toHaveLength(1);
  });

  test("a key is sent with the handshake and never in an event", async () => {
    await using stage = await setup({ apiKey: "comfyui-secret", sockets: "refuse" });
    let headers: unknown;
    stage.script.routes["POST /prompt"] = (request) => {
      headers = request.headers["x-api-key"];
      return stage.script.accept(request);
    };
    await stage.submit();
    expect(headers).toBe("comfyui-secret");
    await until(() => stage.events.length > 0);
    expect(JSON.stringify(stage.events)).not.toContain("secret");
  });
});
