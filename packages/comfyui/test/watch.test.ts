import { describe, expect, test, vi } from "vitest";
import type { NodeOutputs, NodeStarted, Preview, PromptProgress } from "../src/index.ts";
import { encodeBinaryFrame } from "../src/wire/index.ts";
import { FILE, PROMPT_ID, setup, until } from "./support/comfyScript.ts";
import { frames, underWay, watch } from "./support/watching.ts";

const { start, cachedNone, executing, executed, success } = frames;

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

  test("once a frame has said that it is over, history is asked again and again, without more frames", async () => {
    await using stage = await setup({ pollMs: 60_000 });
    await stage.submit();
    const watched = watch(stage.comfyui);
    await underWay(stage);
    stage.server.send(success);
    await underWay(stage);
    await underWay(stage);
    stage.script.finish();
    expect((await watched).outputs.files).toHaveLength(1);
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

describe("onSuccess", () => {
  test("comes with the frame, once, before history is readable, and does not end the watch", async () => {
    await using stage = await setup();
    await stage.submit();
    const onSuccess = vi.fn();
    let isDone = false;
    const watched = watch(stage.comfyui, { onSuccess }).finally(() => {
      isDone = true;
    });
    await underWay(stage);
    stage.server.send(success);
    stage.server.send(success);
    await until(() => onSuccess.mock.calls.length > 0);
    await underWay(stage);
    expect(isDone).toBe(false);
    stage.script.finish();
    await watched;
    expect(onSuccess).toHaveBeenCalledOnce();
  });

  test("does not come for a prompt that nobody hears", async () => {
    await using stage = await setup();
    await stage.submit();
    const onSuccess = vi.fn();
    stage.script.finish();
    await watch(stage.comfyui, { onSuccess });
    expect(onSuccess).not.toHaveBeenCalled();
  });
});
