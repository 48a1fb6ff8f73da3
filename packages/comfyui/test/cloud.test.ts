import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { type ComfyUi, connectComfyUi, type NodeStarted, type Preview, type PromptProgress } from "../src/index.ts";
import { encodeBinaryFrame } from "../src/wire/index.ts";
import { FILE, PROMPT_ID, until, WORKFLOW } from "./support/comfyScript.ts";
import { type Reply, type Script, ScriptedServer, status } from "./support/scriptedServer.ts";

const KEY = "comfyui-0123456789";
/** Comfy Cloud does not promise to take our id, so assume that it makes its own (§9.5). */
const CLOUD_ID = "c0ffee00-0000-4000-8000-000000000001";
const never = new AbortController().signal;

/** Comfy Cloud v1 as reference/comfyui-protocol.md §6.1 has it; the test says how the job stands. */
class CloudScript {
  state = "executing";
  history: unknown;
  errorMessage: string | null = null;
  readonly routes: Record<string, Script> = {};

  readonly answer: Script = (request) => {
    if (request.headers["x-api-key"] !== KEY) return { status: 401, json: { code: "UNAUTHORIZED", message: "no key" } };
    const route = `${request.method} ${request.path}`;
    return this.routes[route]?.(request) ?? this.#byRoute(route);
  };

  #byRoute(route: string): Reply {
    if (route === "POST /api/prompt") return { json: { prompt_id: CLOUD_ID, number: 1, node_errors: {} } };
    if (route === `GET /api/job/${CLOUD_ID}/status`) {
      const times = { created_at: "2026-11-01T00:00:00Z", updated_at: "2026-11-01T00:00:01Z" };
      return { json: { id: CLOUD_ID, status: this.state, ...times, error_message: this.errorMessage } };
    }
    if (route === `GET /api/history_v2/${CLOUD_ID}` && this.history) return { json: { [CLOUD_ID]: this.history } };
    if (route === "GET /api/features") return { json: { max_upload_size: 52428800 } };
    return { status: 404, json: { code: "NOT_FOUND", message: "not found" } };
  }
}

function entry(statusStr: string, messages: unknown[] = []): unknown {
  const prompt = { priority: 1, prompt_id: CLOUD_ID, prompt: WORKFLOW, extra_data: {}, outputs_to_execute: ["2"] };
  return {
    prompt,
    outputs: { "2": { images: [FILE] } },
    status: { status_str: statusStr, completed: true, messages },
    meta: {},
  };
}

interface Stage extends AsyncDisposable {
  readonly server: ScriptedServer;
  readonly script: CloudScript;
  readonly comfyui: ComfyUi;
}

async function setup(): Promise<Stage> {
  const script = new CloudScript();
  const server = await ScriptedServer.start(script.answer);
  const comfyui = connectComfyUi({ url: server.url, apiKey: KEY, dialect: "cloud", pollMs: 20 });
  const close = () => Promise.all([comfyui.close(), server[Symbol.asyncDispose]()]);
  return { server, script, comfyui, [Symbol.asyncDispose]: async () => void (await close()) };
}

const watch = ({ comfyui }: Stage) => comfyui.watch(CLOUD_ID, { signal: never, stallMs: 0 });

describe("a conversation with Comfy Cloud", () => {
  test("submit, socket with token, frames filtered by prompt, history_v2", async () => {
    await using stage = await setup();
    const submitted = await stage.comfyui.submit({ promptId: PROMPT_ID, workflow: WORKFLOW });
    expect(submitted).toEqual({ promptId: CLOUD_ID, number: 1, nodeErrors: {} });
    const [socket] = stage.server.sockets;
    expect(socket?.url.pathname).toBe("/ws");
    expect(socket?.url.searchParams.get("token")).toBe(KEY);

    const nodes: NodeStarted[] = [];
    const previews: Preview[] = [];
    const watched = stage.comfyui.watch(submitted.promptId, {
      signal: never,
      stallMs: 0,
      onNode: (node) => nodes.push(node),
      onPreview: (preview) => previews.push(preview),
    });
    await until(() => stage.server.seen("GET", `/api/job/${CLOUD_ID}/status`).length > 0);
    const executing = (node: string, prompt_id: string) => ({
      type: "executing",
      data: { node, display_node: node, prompt_id },
    });
    for (const frame of [
      { type: "notification", data: { value: "hi" } },
      executing("9", "another-job"),
      executing("2", CLOUD_ID),
    ]) {
      socket?.send(frame);
    }
    socket?.sendRaw(encodeBinaryFrame({ kind: "preview", contentType: "image/png", image: Buffer.from("whose?") }));
    await socket?.flushed();
    stage.script.state = "success";
    stage.script.history = entry("success");
    socket?.send(status(0));
    const { outputs } = await watched;
    expect(outputs.files).toEqual([{ node_id: "2", key: "images", index: 0, ...FILE }]);
    expect(nodes.map(({ node_id }) => node_id)).toEqual(["2"]);
    expect(previews).toEqual([]); // all sockets of a user get all frames, and this one names no prompt
    expect(stage.server.requests.every(({ path }) => path.startsWith("/api/"))).toBe(true);
  });

  test("progress is told while it runs, of the graph that was submitted: the cloud does not show it", async () => {
    await using stage = await setup();
    const told: PromptProgress[] = [];
    const watched = stage.comfyui.watch(CLOUD_ID, {
      signal: never,
      stallMs: 0,
      workflow: WORKFLOW,
      onProgress: (progress) => told.push(progress),
    });
    await until(() => stage.server.sockets.length > 0);
    stage.server.sockets[0]?.send({ type: "executing", data: { node: "2", display_node: "2", prompt_id: CLOUD_ID } });
    await until(() => told.length > 0);
    expect(told[0]).toMatchObject({ nodesTotal: Object.keys(WORKFLOW).length, nodesDone: 0, node: { node_id: "2" } });
    expect(told[0]?.node?.class_type).toBe(WORKFLOW["2"]?.class_type);
    stage.script.state = "success";
    stage.script.history = entry("success");
    await watched;
  });

  test.each([
    ["submitted", "pending"],
    ["queued_waiting", "pending"],
    ["waiting_to_dispatch", "pending"],
    ["allocated", "running"],
    ["executed", "running"],
    ["cancel_requested", "running"],
    ["something_new", "running"],
    ["lost", "unknown"],
  ])("the raw state %s is %s", async (state, kind) => {
    await using stage = await setup();
    stage.script.state = state;
    expect((await stage.comfyui.find(CLOUD_ID)).kind).toBe(kind);
  });

  test("an id it does not know is unknown", async () => {
    await using stage = await setup();
    expect(await stage.comfyui.find("nobody")).toEqual({ kind: "unknown" });
    expect(await stage.comfyui.history("nobody")).toBeUndefined();
  });

  test("success is not believed before history is readable", async () => {
    await using stage = await setup();
    stage.script.state = "success";
    expect((await stage.comfyui.find(CLOUD_ID)).kind).toBe("running");
    stage.script.history = entry("success");
    expect((await stage.comfyui.find(CLOUD_ID)).kind).toBe("finished");
  });

  test("where the deprecated history has gone, the jobs API has the outputs", async () => {
    await using stage = await setup();
    stage.script.state = "completed";
    stage.script.routes[`GET /api/jobs/${CLOUD_ID}`] = () => ({
      json: { id: CLOUD_ID, status: "completed", create_time: 1, outputs: { "2": { images: [FILE] } } },
    });
    expect((await watch(stage)).outputs.files).toHaveLength(1);
  });

  test("an error whose reason is a JSON text is classified like any other", async () => {
    await using stage = await setup();
    stage.script.state = "non_retryable_error";
    stage.script.errorMessage = JSON.stringify({
      node_id: "2",
      node_type: "KSampler",
      exception_type: "OOMError",
      exception_message: "no memory",
    });
    await expect(watch(stage)).rejects.toMatchObject({
      code: "out_of_memory",
      facts: { failure: { node_id: "2", class_type: "KSampler" } },
    });
  });

  test("an error whose reason is plain text is told", async () => {
    await using stage = await setup();
    stage.script.state = "error";
    stage.script.errorMessage = "the machine went away";
    await expect(watch(stage)).rejects.toMatchObject({
      code: "node_failed",
      message: expect.stringContaining("the machine went away"),
    });
  });

  test("a cancelled job was interrupted, with or without history", async () => {
    await using stage = await setup();
    stage.script.state = "cancelled";
    await expect(watch(stage)).rejects.toMatchObject({ code: "interrupted" });
    stage.script.history = entry("error");
    await expect(watch(stage)).rejects.toMatchObject({ code: "interrupted" });
  });

  test("a lost job is prompt_lost", async () => {
    await using stage = await setup();
    stage.script.state = "lost";
    await expect(watch(stage)).rejects.toMatchObject({ code: "prompt_lost" });
  });

  test("cancel goes through the jobs API", async () => {
    await using stage = await setup();
    stage.script.routes[`POST /api/jobs/${CLOUD_ID}/cancel`] = () => {
      stage.script.state = "cancelled";
      return { json: { cancelled: true } };
    };
    expect(await stage.comfyui.cancel(CLOUD_ID, { deadlineMs: 5_000 })).toMatchObject({ stopped: true });
    expect(stage.server.seen("POST", "/api/interrupt")).toHaveLength(0);
  });

  test("where the jobs API cannot cancel, the queue can; an interrupt would hit another job", async () => {
    await using stage = await setup();
    stage.script.routes["POST /api/queue"] = () => {
      stage.script.state = "cancelled";
      return { json: { deleted: [CLOUD_ID], cleared: false } };
    };
    expect(await stage.comfyui.cancel(CLOUD_ID, { deadlineMs: 5_000 })).toMatchObject({ stopped: true });
    expect(stage.server.seen("POST", "/api/queue").map(({ json }) => json)).toEqual([{ delete: [CLOUD_ID] }]);
    expect(stage.server.seen("POST", "/api/interrupt")).toHaveLength(0);
  });

  test("a lost answer cannot be resolved by an id it never took", async () => {
    await using stage = await setup();
    stage.script.routes["POST /api/prompt"] = () => ({ status: 500, json: { code: "INTERNAL", message: "oops" } });
    const lost = stage.comfyui.submit({ promptId: PROMPT_ID, workflow: WORKFLOW });
    await expect(lost).rejects.toMatchObject({ code: "unknown_outcome", facts: { confirmedAbsent: false } });
    expect(stage.server.seen("POST", "/api/prompt")).toHaveLength(1);
  });

  test("a full queue is no lost answer: the server says when to come back, and is asked whether it has the prompt", async () => {
    await using stage = await setup();
    stage.script.routes["POST /api/prompt"] = () => ({
      status: 503,
      json: { code: "queue_full", message: "full" },
      headers: { "retry-after": "7" },
    });
    await expect(stage.comfyui.submit({ promptId: PROMPT_ID, workflow: WORKFLOW })).rejects.toMatchObject({
      code: "rate_limited",
      facts: { retryAfterSeconds: 7, httpStatus: 503 },
    });
    expect(stage.server.seen("POST", "/api/prompt")).toHaveLength(1);
    expect(stage.server.seen("GET", `/api/job/${PROMPT_ID}/status`).length).toBeGreaterThan(0);
  });

  test("one that takes our ids is believed when it does not know one", async () => {
    await using stage = await setup();
    stage.script.routes["POST /api/prompt"] = () => ({ json: { prompt_id: PROMPT_ID, number: 1, node_errors: {} } });
    await stage.comfyui.submit({ promptId: PROMPT_ID, workflow: WORKFLOW });
    stage.script.routes["POST /api/prompt"] = () => ({ status: 500, json: { code: "INTERNAL", message: "oops" } });
    const lost = stage.comfyui.submit({ promptId: PROMPT_ID, workflow: WORKFLOW });
    await expect(lost).rejects.toMatchObject({ code: "unknown_outcome", facts: { confirmedAbsent: true } });
  });

  test("a view is redirected to storage, which never sees the key", async () => {
    await using stage = await setup();
    await using storage = await ScriptedServer.start(() => ({
      bytes: Buffer.from("pixels"),
      headers: { "content-length": "6" },
    }));
    stage.script.routes["GET /api/view"] = () => ({
      status: 302,
      headers: { location: `${storage.url}/signed?sig=abc` },
    });
    const { body, sizeBytes } = await stage.comfyui.view({ filename: "hash.png" });
    expect([(await buffer(body)).toString(), sizeBytes]).toEqual(["pixels", 6]);
    const [request] = storage.requests;
    expect(request?.path).toBe("/signed");
    expect(JSON.stringify(request?.headers)).not.toContain(KEY);
  });

  test("whoever has rules for other hosts is asked to fetch from them, and told nothing of the key", async () => {
    await using stage = await setup();
    const asked: unknown[] = [];
    const careful = connectComfyUi({
      url: stage.server.url,
      apiKey: KEY,
      dialect: "cloud",
      fetchElsewhere: async (url, { headers, method }) => {
        asked.push([url.href, headers, method]);
        throw new Error("10.0.0.9 is private; open it in the settings");
      },
    });
    stage.script.routes["GET /api/view"] = () => ({ status: 302, headers: { location: "http://10.0.0.9/x?sig=abc" } });
    const refused = careful.view({ filename: "hash.png" }, { range: { start: 0 } });
    const message = expect.stringMatching(/^(?!.*sig=abc).*10\.0\.0\.9 is private/);
    await expect(refused).rejects.toMatchObject({ code: "unreachable", message });
    expect(asked).toEqual([["http://10.0.0.9/x?sig=abc", { range: "bytes=0-" }, "GET"]]);
    // A link to the server itself is followed as ever, and without the key, too.
    stage.script.routes["GET /api/view"] = () => ({ status: 302, headers: { location: "/files/x?sig=abc" } });
    stage.script.routes["GET /files/x"] = () => ({ bytes: Buffer.from("own") });
    await careful.view({ filename: "hash.png" }).catch(() => {});
    expect(stage.server.seen("GET", "/files/x").map(({ headers }) => headers["x-api-key"])).toEqual([undefined]);
    await careful.close();
  });

  test("an ended prompt without any timeline has succeeded when its status says so", async () => {
    await using stage = await setup();
    stage.script.state = "completed";
    stage.script.routes[`GET /api/jobs/${CLOUD_ID}`] = () => ({
      json: { id: CLOUD_ID, status: "completed", outputs: { "2": { images: [FILE] } } },
    });
    expect(await stage.comfyui.find(CLOUD_ID)).toMatchObject({
      kind: "finished",
      entry: { status: { status_str: "success" } },
    });
  });

  test("its version is told where the server tells it, and a server that does not is one all the same", async () => {
    await using stage = await setup();
    expect(await stage.comfyui.features()).not.toHaveProperty("version");
    stage.script.routes["GET /api/system_stats"] = () => ({
      json: { system: { comfyui_version: "0.36.0" }, devices: [] },
    });
    const another = connectComfyUi({ url: stage.server.url, apiKey: KEY, dialect: "cloud" });
    expect(await another.features()).toMatchObject({ dialect: "cloud", version: "0.36.0" });
    await another.close();
  });

  test("freeing memory is nobody's business there", async () => {
    await using stage = await setup();
    await stage.comfyui.free({ freeMemory: true });
    expect(stage.server.requests).toHaveLength(0);
  });

  test("a wrong key is unauthorized, at once", async () => {
    await using stage = await setup();
    const wrong = connectComfyUi({ url: stage.server.url, apiKey: "wrong", dialect: "cloud" });
    await expect(wrong.watch(CLOUD_ID, { signal: never, stallMs: 0 })).rejects.toMatchObject({ code: "unauthorized" });
    await wrong.close();
  });

  test("the queue's other tuple is read", async () => {
    await using stage = await setup();
    stage.script.routes["GET /api/queue"] = () => ({
      json: { queue_running: [[1, CLOUD_ID, WORKFLOW, ["2"], { create_time: 5 }]], queue_pending: [] },
    });
    const { running } = await stage.comfyui.queue();
    expect(running).toEqual([
      { promptId: CLOUD_ID, number: 1, workflow: WORKFLOW, extraData: {}, outputNodeIds: ["2"] },
    ]);
  });
});
