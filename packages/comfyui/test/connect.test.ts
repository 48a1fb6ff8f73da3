import { describe, expect, test } from "vitest";
import { parseAddress } from "../src/address.ts";
import { connectComfyUi } from "../src/index.ts";
import { PROMPT_ID, setup, successEntry, tupleOf, WORKFLOW } from "./support/comfyScript.ts";

describe("the address", () => {
  test.each([
    ["http://localhost:8188", "/queue", "http://127.0.0.1:8188/queue"],
    ["http://127.0.0.1:8188/", "/queue", "http://127.0.0.1:8188/queue"],
    ["https://localhost:8188", "/queue", "https://localhost:8188/queue"],
    ["https://gpu.example/comfy/", "/queue", "https://gpu.example/comfy/queue"],
    ["https://cloud.comfy.org", "/queue", "https://cloud.comfy.org/api/queue"],
    ["https://cloud.comfy.org", "/api/jobs", "https://cloud.comfy.org/api/jobs"],
    ["http://[::1]:8188", "/queue", "http://[::1]:8188/queue"],
  ])("%s with %s is %s", (url, path, full) => {
    expect(parseAddress({ url }).url(path).href).toBe(full);
  });

  test("the socket stands at /ws in both dialects; only the cloud's carries the key", () => {
    const local = parseAddress({ url: "http://h:1/base", apiKey: "k" });
    expect(local.socketUrl("a b").href).toBe("ws://h:1/base/ws?clientId=a+b");
    expect(parseAddress({ url: "https://cloud.comfy.org", apiKey: "k" }).socketUrl("c").href).toBe(
      "wss://cloud.comfy.org/ws?clientId=c&token=k",
    );
  });

  test("a user and password in the URL become a header, and are shown nowhere", () => {
    const address = parseAddress({ url: "http://me:p%40ss@h:1" });
    expect(address.headers).toEqual({ authorization: `Basic ${Buffer.from("me:p@ss").toString("base64")}` });
    expect(address.origin + address.url("/queue").href).not.toContain("me");
  });

  test.each(["", "ftp://h", "127.0.0.1:8188", "nonsense"])("%j is refused", (url) => {
    expect(() => connectComfyUi({ url })).toThrow(expect.objectContaining({ code: "unreachable" }));
  });
});

describe("what the server can do", () => {
  const versions: readonly [string, object][] = [
    [
      "0.3.40",
      { jobsApi: false, cancelEndpoint: false, targetedInterrupt: false, promptIds: "minted", hidesKeys: false },
    ],
    ["0.3.45", { jobsApi: false, cancelEndpoint: false, targetedInterrupt: false, promptIds: "any", hidesKeys: false }],
    ["0.3.64", { jobsApi: false, cancelEndpoint: false, targetedInterrupt: true, promptIds: "any", hidesKeys: false }],
    ["0.5.1", { jobsApi: true, cancelEndpoint: false, targetedInterrupt: true, promptIds: "any", hidesKeys: true }],
    ["0.24.0", { jobsApi: true, cancelEndpoint: false, targetedInterrupt: true, promptIds: "uuid", hidesKeys: true }],
    [
      "v0.33.0-3-gabcdef",
      { jobsApi: true, cancelEndpoint: true, targetedInterrupt: true, promptIds: "uuid", hidesKeys: true },
    ],
    ["1.0", { jobsApi: true, cancelEndpoint: true, targetedInterrupt: true, promptIds: "uuid", hidesKeys: true }],
  ];

  test.each(versions)("is known by its version %s", async (version, abilities) => {
    await using stage = await setup();
    stage.script.version = version;
    expect(await stage.comfyui.features()).toEqual({
      dialect: "local",
      version,
      maxUploadBytes: 104857600,
      ...abilities,
    });
  });

  test.each([true, false])("is asked where it tells no version (newer: %s)", async (isNewer) => {
    await using stage = await setup();
    stage.script.version = undefined;
    if (isNewer) {
      stage.script.routes["GET /api/jobs"] = () => ({ json: { jobs: [], pagination: {} } });
      stage.script.routes["POST /api/jobs/00000000-0000-0000-0000-000000000000/cancel"] = () => ({
        json: { cancelled: false },
      });
    }
    const found = await stage.comfyui.features();
    expect(found).toMatchObject({
      jobsApi: isNewer,
      cancelEndpoint: isNewer,
      targetedInterrupt: isNewer,
      promptIds: "any",
    });
  });

  test("is asked once, and again after a failure", async () => {
    await using stage = await setup();
    stage.script.routes["GET /features"] = () => ({ status: 502 });
    await expect(stage.comfyui.features()).rejects.toMatchObject({ code: "unreachable" });
    stage.script.routes["GET /features"] = () => ({ status: 404 });
    await stage.comfyui.features();
    expect(await stage.comfyui.features()).not.toHaveProperty("maxUploadBytes");
    expect(stage.server.seen("GET", "/system_stats")).toHaveLength(1);
  });

  test("is asked anew when the server has come back", async () => {
    await using stage = await setup();
    await stage.submit();
    expect((await stage.comfyui.features()).version).toBe("0.33.0");
    stage.script.version = "0.34.0";
    stage.server.sockets[0]?.terminate();
    await expect.poll(async () => (await stage.comfyui.features()).version).toBe("0.34.0");
  });
});

describe("the plain calls", () => {
  test("queue: both lists in execution order, though the server lists a heap", async () => {
    await using stage = await setup();
    const item = (number: number, id: string) => [number, id, WORKFLOW, { client_id: "c" }, ["2"]];
    stage.script.routes["GET /queue"] = () => ({
      json: {
        queue_running: [item(1, "r")],
        queue_pending: [item(2, "b"), item(9, "z"), item(2, "a"), item(-1, "first")],
      },
    });
    const { running, pending } = await stage.comfyui.queue();
    expect(running).toEqual([
      { promptId: "r", number: 1, workflow: WORKFLOW, extraData: { client_id: "c" }, outputNodeIds: ["2"] },
    ]);
    expect(pending.map(({ promptId }) => promptId)).toEqual(["first", "a", "b", "z"]);
  });

  test("find: a pending prompt tells how many are ahead", async () => {
    await using stage = await setup();
    stage.script.running = [tupleOf({ prompt_id: "r" })];
    stage.script.pending = [tupleOf({ prompt_id: "a" }), tupleOf({ prompt_id: PROMPT_ID })];
    stage.script.pending[1]?.splice(0, 1, 5);
    expect(await stage.comfyui.find(PROMPT_ID)).toMatchObject({ kind: "pending", ahead: 2, item: { number: 5 } });
  });

  test("find: a prompt that ends between the two looks is found by the third", async () => {
    await using stage = await setup();
    stage.script.routes["GET /queue"] = () => {
      stage.script.history.set(PROMPT_ID, successEntry(tupleOf({ prompt_id: PROMPT_ID }), {}));
      return { json: { queue_running: [], queue_pending: [] } };
    };
    expect((await stage.comfyui.find(PROMPT_ID)).kind).toBe("finished");
  });

  test("history: an entry with a bare NaN, as Python writes it, is read", async () => {
    await using stage = await setup();
    const tuple = JSON.stringify(successEntry(tupleOf({ prompt_id: PROMPT_ID }), { "2": { text: ["NaN"] } }));
    const text = `{"${PROMPT_ID}": ${tuple.replace('"inputs":', '"is_changed":[NaN],"inputs":')}}`;
    stage.script.routes[`GET /history/${PROMPT_ID}`] = () => ({ text });
    expect((await stage.comfyui.history(PROMPT_ID))?.outputs).toEqual({ "2": { text: ["NaN"] } });
    expect(await stage.comfyui.history("unknown")).toBeUndefined();
  });

  test("finished shows what came with the newest prompts, and asks for no more than it was told", async () => {
    await using stage = await setup();
    const mine = successEntry(tupleOf({ prompt_id: PROMPT_ID, client_id: "me" }), {});
    stage.script.routes["GET /history"] = () => ({ json: { [PROMPT_ID]: mine, odd: { outputs: {} } } });
    const [first, second] = await stage.comfyui.finished(5);
    expect(first).toMatchObject({ promptId: PROMPT_ID, extraData: { client_id: "me" } });
    expect(second).toEqual({ promptId: "odd", extraData: {} });
    expect(stage.server.requests.map(({ query }) => query)).toEqual([{ max_items: "5" }]);
  });

  test("forget and free say what they should", async () => {
    await using stage = await setup();
    stage.script.routes["POST /history"] = () => ({});
    stage.script.routes["POST /free"] = () => ({});
    await stage.comfyui.forget(PROMPT_ID);
    await stage.comfyui.free({ freeMemory: true });
    const bodies = stage.server.requests.map(({ path, json }) => [path, json]);
    expect(bodies).toEqual([
      ["/history", { delete: [PROMPT_ID] }],
      ["/free", { unload_models: false, free_memory: true }],
    ]);
  });

  test("objectInfo asks for one class or all; an unknown class is an empty answer", async () => {
    await using stage = await setup();
    stage.script.routes["GET /object_info/Save%20Image"] = () => ({
      json: { "Save Image": { name: "Save Image", output_node: true } },
    });
    stage.script.routes["GET /object_info"] = () => ({
      text: '{"K": {"name": "K", "input": {"required": {"max": ["FLOAT", {"max": Infinity}]}}}}',
    });
    stage.script.routes["GET /object_info/Nope"] = () => ({ json: {} });
    expect(await stage.comfyui.objectInfo("Save Image")).toHaveProperty("Save Image");
    expect(Object.keys(await stage.comfyui.objectInfo())).toEqual(["K"]);
    expect(await stage.comfyui.objectInfo("Nope")).toEqual({});
  });

  test("job: undefined where the jobs API does not know the prompt, or there is none", async () => {
    await using stage = await setup();
    expect(await stage.comfyui.job(PROMPT_ID)).toBeUndefined();
    stage.script.routes[`GET /api/jobs/${PROMPT_ID}`] = () => ({ json: { id: PROMPT_ID, status: "pending" } });
    expect(await stage.comfyui.job(PROMPT_ID)).toEqual({ id: PROMPT_ID, status: "pending" });
  });

  test("stats are read", async () => {
    await using stage = await setup();
    expect((await stage.comfyui.stats()).system.comfyui_version).toBe("0.33.0");
  });

  test("isReachable: yes when it answers or is merely slow, no when nothing is there or a proxy says so", async () => {
    const stage = await setup();
    expect(await stage.comfyui.isReachable()).toBe(true);
    stage.script.routes["GET /prompt"] = () => "hang";
    expect(await stage.comfyui.isReachable({ withinMs: 50 })).toBe(true);
    stage.script.routes["GET /prompt"] = () => ({ status: 502 });
    expect(await stage.comfyui.isReachable()).toBe(false);
    await stage.server[Symbol.asyncDispose]();
    expect(await stage.comfyui.isReachable()).toBe(false);
    await stage.comfyui.close();
  });

  test("an answer that is not ComfyUI's is protocol, a slow one busy", async () => {
    await using stage = await setup();
    stage.script.routes["GET /queue"] = () => ({ text: "<html>" });
    await expect(stage.comfyui.queue()).rejects.toMatchObject({ code: "protocol" });
    await using hurried = await setup({ requestTimeoutMs: 50 });
    hurried.script.routes["GET /queue"] = () => "hang";
    await expect(hurried.comfyui.queue()).rejects.toMatchObject({ code: "busy" });
  });

  test("closing before anything was opened opens nothing later", async () => {
    await using stage = await setup();
    await stage.comfyui.close();
    await expect(stage.submit()).rejects.toMatchObject({ code: "closed" });
    expect(stage.server.sockets).toHaveLength(0);
  });

  test("after close every call is closed, and closing again is harmless", async () => {
    await using stage = await setup();
    await stage.submit();
    await stage.comfyui.close();
    await expect(stage.comfyui.queue()).rejects.toMatchObject({ code: "closed" });
    await expect(stage.submit()).rejects.toMatchObject({ code: "closed" });
    await stage.comfyui.close();
  });
});
