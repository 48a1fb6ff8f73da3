import { describe, expect, test } from "vitest";
import { type ComfyUi, connectComfyUi } from "../src/index.ts";
import { FILE, PROMPT_ID, setup, successEntry, tupleOf, until, WORKFLOW } from "./support/comfyScript.ts";
import type { Reply } from "./support/scriptedServer.ts";

const submission = { promptId: PROMPT_ID, workflow: WORKFLOW };

describe("a submission", () => {
  test("carries our prompt id, client id, extra data and targets", async () => {
    await using stage = await setup();
    const extraData = { api_key_comfy_org: "k", extra_pnginfo: {} };
    const submitted = await stage.comfyui.submit({ ...submission, extraData, onlyOutputs: ["2"], frontOf: 5 });
    expect(submitted).toEqual({ promptId: PROMPT_ID, number: 0, nodeErrors: {} });
    const client_id = stage.server.sockets[0]?.clientId;
    expect(stage.server.seen("POST", "/prompt").map(({ json }) => json)).toEqual([
      {
        prompt: WORKFLOW,
        prompt_id: PROMPT_ID,
        client_id,
        extra_data: extraData,
        partial_execution_targets: ["2"],
        number: 4.5,
      },
    ]);
  });

  test("to the front of everything says so", async () => {
    await using stage = await setup();
    await stage.comfyui.submit({ ...submission, frontOf: "all" });
    expect(stage.server.seen("POST", "/prompt")[0]?.json).toMatchObject({ front: true });
  });

  test("waits for the socket, so that the first frames are addressed to somebody", async () => {
    await using stage = await setup();
    let socketsAtSubmit = 0;
    stage.script.routes["POST /prompt"] = (request) => {
      socketsAtSubmit = stage.server.sockets.length;
      return stage.script.accept(request);
    };
    await stage.submit();
    expect(socketsAtSubmit).toBe(1);
  });

  test("to a server that mints its own ids is watched under that id", async () => {
    await using stage = await setup();
    stage.script.version = "0.3.40";
    stage.script.routes["POST /prompt"] = ({ json }): Reply => {
      stage.script.history.set("minted", successEntry(tupleOf(json), { "2": { images: [FILE] } }));
      return { json: { prompt_id: "minted", number: 3, node_errors: {} } };
    };
    const { promptId } = await stage.submit();
    expect(promptId).toBe("minted");
    expect(stage.events).toContainEqual({ type: "prompt_id_replaced", promptId: PROMPT_ID, serverPromptId: "minted" });
    expect((await stage.comfyui.features()).promptIds).toBe("minted");
  });
});

describe.concurrent("a lost answer is resolved by looking, never by submitting again", () => {
  /** The server takes the prompt, and the answer gets lost in this way. */
  async function lose(how: Reply, place: "pending" | "running" | "finished") {
    const stage = await setup({ submitTimeoutMs: 1_000 });
    stage.script.routes["POST /prompt"] = ({ json }) => {
      const tuple = tupleOf(json);
      if (place === "pending") stage.script.pending = [tuple];
      else stage.script.running = [tuple];
      if (place === "finished") stage.script.finish();
      return how;
    };
    return stage;
  }

  const ways: readonly [string, Reply, "pending" | "running" | "finished"][] = [
    ["the connection was reset, and it runs", "reset", "running"],
    ["the connection was reset, and it has finished", "reset", "finished"],
    ["nothing came in time, and it waits", "hang", "pending"],
    [
      "500 although it was queued (0.33, duplicate id and number)",
      { status: 500, text: "500 Internal Server Error" },
      "pending",
    ],
    ["a proxy said 504, and it runs", { status: 504, text: "Gateway Timeout" }, "running"],
  ];

  test.each(ways)("%s", async (_, how, place) => {
    await using stage = await lose(how, place);
    expect(await stage.submit()).toEqual({ promptId: PROMPT_ID, number: 0, nodeErrors: {} });
    expect(stage.server.seen("POST", "/prompt")).toHaveLength(1);
    expect(stage.events).toContainEqual({ type: "submission_resolved", promptId: PROMPT_ID, found: place });
  });

  test("found only at a later look, because the server was still at it", async () => {
    await using stage = await setup();
    stage.script.routes["POST /prompt"] = () => "reset";
    const submitted = stage.submit();
    await until(() => stage.server.seen("GET", "/queue").length === 2);
    stage.script.pending = [tupleOf({ prompt_id: PROMPT_ID })];
    expect((await submitted).promptId).toBe(PROMPT_ID);
    expect(stage.server.seen("POST", "/prompt")).toHaveLength(1);
  });

  test("not found by any look: unknown_outcome, and absent as far as the server knows", async () => {
    await using stage = await setup();
    stage.script.routes["POST /prompt"] = () => ({ status: 500, text: "500 Internal Server Error" });
    const error = { code: "unknown_outcome", facts: { promptId: PROMPT_ID, httpStatus: 500, confirmedAbsent: true } };
    await expect(stage.submit()).rejects.toMatchObject(error);
    expect(stage.server.seen("POST", "/prompt")).toHaveLength(1);
  });

  test("and nobody can be asked: unreachable, absence not confirmed", async () => {
    await using stage = await setup();
    const reset = () => "reset" as const;
    stage.script.routes["POST /prompt"] = reset;
    stage.script.routes[`GET /history/${PROMPT_ID}`] = reset;
    await expect(stage.submit()).rejects.toMatchObject({ code: "unreachable", facts: { confirmedAbsent: false } });
    expect(stage.server.seen("POST", "/prompt")).toHaveLength(1);
  });
});

describe("a submission that did not get through", () => {
  async function answerWith(reply: Reply): Promise<unknown> {
    await using stage = await setup();
    stage.script.routes["POST /prompt"] = () => reply;
    const error: unknown = await stage.submit().catch((failure: unknown) => failure);
    expect(stage.server.seen("GET", "/queue")).toHaveLength(0); // nothing to resolve
    return error;
  }

  const statuses: readonly [string, Reply, Record<string, unknown>][] = [
    ["413", { status: 413, text: "Maximum request body size exceeded" }, { code: "payload_too_large" }],
    ["401", { status: 401, json: { code: "UNAUTHORIZED", message: "no key" } }, { code: "unauthorized" }],
    ["402", { status: 402, json: { error: { type: "x", message: "no credits" } } }, { code: "payment_required" }],
    [
      "429 QUEUE_LIMIT",
      { status: 429, json: { error: { type: "QUEUE_LIMIT", message: "full" } }, headers: { "retry-after": "9" } },
      { code: "rate_limited", facts: { retryAfterSeconds: 9, refusal: "QUEUE_LIMIT" } },
    ],
    [
      "429 PAYMENT_REQUIRED",
      { status: 429, json: { error: { type: "PAYMENT_REQUIRED", message: "pay" } } },
      { code: "payment_required" },
    ],
    [
      "403 PARTNER_NODE_DISABLED",
      { status: 403, json: { error: { type: "PARTNER_NODE_DISABLED", message: "off" } } },
      { code: "rejected", facts: { refusal: "PARTNER_NODE_DISABLED" } },
    ],
    ["403 of the origin check", { status: 403 }, { code: "unauthorized" }],
    [
      "400 invalid_prompt_id",
      {
        status: 400,
        json: { error: { type: "invalid_prompt_id", message: "m", details: "", extra_info: {} }, node_errors: {} },
      },
      { code: "rejected", facts: { refusal: "invalid_prompt_id" } },
    ],
    [
      "400 of 2023, with a plain text as error",
      { status: 400, json: { error: "no prompt", node_errors: [] } },
      { code: "rejected" },
    ],
    ["200 of something else", { text: "<html>hello</html>" }, { code: "protocol" }],
    ["404: no ComfyUI there", { status: 404, text: "nginx" }, { code: "not_found" }],
  ];

  test.each(statuses)("%s", async (_, reply, expected) => {
    expect(await answerWith(reply)).toMatchObject(expected);
  });

  test("a real mistake beside a missing model is a mistake, not a missing resource", async () => {
    const wrong = (type: string, received_value: unknown) => ({
      type,
      message: type,
      details: "",
      extra_info: { input_name: "x", received_value },
    });
    const node_errors = {
      "1": { class_type: "Loader", dependent_outputs: ["2"], errors: [wrong("value_not_in_list", "a.safetensors")] },
      "3": { class_type: "KSampler", dependent_outputs: ["2"], errors: [wrong("value_not_in_list", "eulr")] },
    };
    const error = { type: "prompt_outputs_failed_validation", message: "m", details: "", extra_info: {} };
    const refused = await answerWith({ status: 400, json: { error, node_errors } });
    expect(refused).toMatchObject({ code: "rejected", facts: { nodeErrors: node_errors } });
    expect(refused).not.toHaveProperty("facts.missing");
  });

  test("nothing listens there: unreachable at once, for nothing was sent", async () => {
    const stage = await setup();
    const { url } = stage.server;
    await stage[Symbol.asyncDispose]();
    const comfyui: ComfyUi = connectComfyUi({ url });
    await expect(comfyui.submit(submission)).rejects.toMatchObject({
      code: "unreachable",
      message: expect.stringContaining("ECONNREFUSED"),
    });
    await comfyui.close();
  });

  test("an aborted signal throws its own reason", async () => {
    await using stage = await setup();
    const stop = new AbortController();
    stage.script.routes["POST /prompt"] = () => {
      stop.abort(new Error("changed my mind"));
      return "hang";
    };
    await expect(stage.comfyui.submit({ ...submission, signal: stop.signal })).rejects.toThrow("changed my mind");
  });
});
