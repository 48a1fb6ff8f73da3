import { describe, expect, test } from "vitest";
import { FILE, PROMPT_ID, setup, until, WORKFLOW } from "./support/comfyScript.ts";
import { frames, underWay, watch } from "./support/watching.ts";

const { start, cachedNone, executing, executed, success } = frames;

describe.concurrent("a watch always ends", () => {
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
    const { entry, outputs } = await watched;
    expect(outputs.files).toEqual([{ node_id: "2", key: "images", index: 0, ...FILE }]);
    expect(entry.prompt).toMatchObject([0, PROMPT_ID, WORKFLOW, {}, ["2"]]); // so that one can see what was to run
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

  test("a worker thread that dies between success and history has rendered: nothing is lost, nothing rendered again", async () => {
    await using stage = await setup();
    await stage.submit();
    const watched = watch(stage.comfyui, { stallMs: 300 });
    await underWay(stage);
    for (const frame of [start, cachedNone, executing("2"), executed, success]) stage.server.send(frame);
    expect((await watched).outputs.files).toEqual([{ node_id: "2", key: "images", index: 0, ...FILE }]);
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
