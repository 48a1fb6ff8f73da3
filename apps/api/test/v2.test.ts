import { randomUUID } from "node:crypto";
import { openProducer, QueueError } from "@comfyq/queue";
import { createSecretBox } from "@comfyq/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { takeReferences } from "../src/facade/v2/assetReferences.ts";
import { useOnce } from "../src/facade/v2/useOnce.ts";
import type { Rooms } from "../src/rooms.ts";
import type { Call } from "../src/route.ts";
import { bearer, GRAPH, problem, setup, type TestApi, writeKeys } from "./setup.ts";

// What the official SDK does not show is tested here; what it does, in packages/system-tests/test/comfySdk.test.ts.
const KEY = "the key that this test's secrets are sealed with";
const MARKER = "MARKER-77ab10";

let api: TestApi;
beforeAll(async () => {
  api = await setup({ env: { COMFYQ_SECRETS_KEY: KEY } });
});
afterAll(() => api[Symbol.asyncDispose]());

const submit = (body: object, headers: Record<string, string> = {}) => api.post("/api/v2/jobs", body, headers);
const form = (fields: Readonly<Record<string, string>>, bytes = `bytes ${randomUUID()}`) => {
  const sent = new FormData();
  for (const [name, value] of Object.entries(fields)) sent.append(name, value);
  sent.append("file", new Blob([bytes]), "sent.txt");
  return { method: "POST", body: sent };
};
const upload = async (fields: Readonly<Record<string, string>> = {}, bytes?: string) =>
  api.call("/api/v2/assets", form({ content_type: "text/plain", file_path: "a.txt", ...fields }, bytes));

describe("bodies are closed", () => {
  test.each([
    ["a field of its own API", { workflow: GRAPH, priority: 1 }, "priority"],
    ["webhook_url, which the contract reserves", { workflow: GRAPH, webhook_url: "https://a.example" }, "webhook_url"],
    ["an unknown key beside the partner nodes' key", { workflow: GRAPH, extra_data: { x: 1 } }, "extra_data.x"],
    ["extra_pnginfo", { workflow: GRAPH, extra_data: { extra_pnginfo: {} } }, "extra_data.extra_pnginfo"],
    [
      "a key that is no text",
      { workflow: GRAPH, extra_data: { api_key_comfy_org: 5 } },
      "extra_data.api_key_comfy_org",
    ],
  ])("%s is refused by its path", async (_what, body, path) => {
    const answer = await submit(body);
    expect(problem(answer)).toMatchObject({ status: 422, code: "invalid_request" });
    expect(answer.json.error.details.fields[0].path).toBe(path);
  });

  test("also of an upload and of from-hash", async () => {
    const fields = async (sent: Readonly<Record<string, string>>) =>
      (await upload(sent)).json.error.details.fields.map(({ path }: { path: string }) => path);
    expect(await fields({ owner: "x" })).toEqual(["owner"]);
    expect(await fields({ expires_in: "59" })).toEqual(["expires_in"]);
    expect(await fields({ expected_hash: "md5:0" })).toEqual(["expected_hash"]);
    const bare = await api.call("/api/v2/assets", form({}));
    expect(bare.json.error.details.fields.map(({ path }: { path: string }) => path)).toEqual([
      "content_type",
      "file_path",
    ]);
    const body = { hash: `blake3:${"0".repeat(64)}`, size: 1 };
    expect(problem(await api.post("/api/v2/assets/from-hash", body))).toMatchObject({ code: "invalid_request" });
    expect(problem(await api.post("/api/v2/assets/from-hash", { hash: "x" }))).toMatchObject({
      status: 404,
      code: "blob_not_found",
    });
  });
});

describe("what our own API takes beyond it", () => {
  test("comes as headers", async () => {
    const answer = await submit(
      { workflow: GRAPH },
      {
        "comfyq-pool": "headers",
        "comfyq-priority": "-7",
        "comfyq-tags": "a, b",
        "comfyq-timeout-s": "60",
        "comfyq-webhook-url": "https://hook.example/x",
        "comfyq-webhook-events": "job.failed",
      },
    );
    expect(answer.status).toBe(201);
    const shown = { pool: "headers", priority: -7, tags: ["a", "b"], timeout_s: 60 };
    expect(await api.read(answer.json.id)).toMatchObject(shown);
    expect((await api.claim("headers")).id).toBe(answer.json.id);
  });

  test("is refused by the header's name when it is wrong, or when there is no such header", async () => {
    const wrong = await submit({ workflow: GRAPH }, { "comfyq-priority": "high", "comfyq-webhook-url": "nowhere" });
    const paths = wrong.json.error.details.fields.map(({ path }: { path: string }) => path);
    expect([wrong.status, paths.toSorted()]).toEqual([422, ["headers.comfyq-priority", "headers.comfyq-webhook-url"]]);
    const unknown = await submit({ workflow: GRAPH }, { "comfyq-prioritty": "1" });
    expect(problem(unknown)).toEqual({
      status: 422,
      code: "invalid_request",
      message: 'There is no header "comfyq-prioritty" here; did you mean Comfyq-Priority?',
    });
  });
});

test("the partner nodes' key reaches the worker sealed, and stands in clear nowhere", async () => {
  const extra_data = { api_key_comfy_org: MARKER };
  const { json, text } = await submit({ workflow: GRAPH, extra_data }, { "comfyq-pool": "sealed" });
  const held = await api.claim("sealed");
  expect(held.id).toBe(json.id);
  expect(JSON.parse(createSecretBox(KEY).open(held.sealedSecrets ?? "", "default"))).toEqual(extra_data);
  const workflow = await api.call(`/api/v2/jobs/${json.id}/workflow`);
  expect(workflow.json).toEqual({ workflow: GRAPH, format: "api" });
  for (const place of [text, workflow.text, api.log(), await api.redis.everWritten()])
    expect(place).not.toContain(MARKER);
});

describe("an Idempotency-Key", () => {
  test("makes one job of many requests at once, and every other one is told that it was used", async () => {
    const headers = { "idempotency-key": randomUUID() };
    const answers = await Promise.all(Array.from({ length: 6 }, () => submit({ workflow: GRAPH }, headers)));
    const codes = answers.map(({ status, json }) => (status === 201 ? "made" : json.error.code));
    expect(codes.filter((code) => code !== "idempotency_key_reuse")).toEqual(["made"]);
  });

  test("of an upload is single-use, too, and free again when the upload was refused", async () => {
    const headers = { "idempotency-key": randomUUID() };
    const send = (fields: Record<string, string>) =>
      api.call("/api/v2/assets", { ...form({ content_type: "text/plain", file_path: "b.txt", ...fields }), headers });
    expect(problem(await send({ expected_hash: `blake3:${"0".repeat(64)}` })).code).toBe("hash_mismatch");
    expect((await send({})).status).toBe(201);
    expect(problem(await send({})).code).toBe("idempotency_key_reuse");
  });

  test("stays used when nobody knows what came of the first request, and is free when surely nothing did", async () => {
    const producer = await openProducer({ redisUrl: api.redis.url, prefix: `t${randomUUID().slice(0, 8)}` });
    const rooms = { producer } as unknown as Rooms; // all that it asks for
    const keyed = (key: string) =>
      ({ req: { get: () => key }, caller: { tenant: "default", scopes: [] } }) as unknown as Call;
    const away = new QueueError("unavailable", "Redis did not answer");
    const failing = (key: string, isSent: boolean, error: Error) =>
      useOnce(rooms, keyed(key), async (sent) => {
        if (isSent) sent();
        throw error;
      });
    await expect(failing("unknown", true, away)).rejects.toBe(away);
    await expect(failing("unknown", true, away)).rejects.toMatchObject({ code: "idempotency_key_reuse" });
    const full = new QueueError("full", "there is no room");
    for (const [isSent, error] of [
      [false, away],
      [true, full],
      [true, full],
    ] as const)
      await expect(failing("nothing", isSent, error)).rejects.toBe(error);
    await producer.close();
  });
});

describe("core/ASSET references", () => {
  const reference = (info: unknown) => ({ __type: "core/ASSET", info });
  const loading = (image: unknown) => ({ ...GRAPH, "5": { class_type: "LoadImage", inputs: { image } } });

  test("become inputs; a model's goes into the models folder; the graph names files", async () => {
    const asset = (await upload()).json;
    const graph = {
      ...loading(reference({ id: asset.id, file_path: "photo.png" })),
      "6": {
        class_type: "LoraLoader",
        inputs: { lora_name: reference({ id: asset.id, file_path: "models/loras/style/fox.safetensors" }) },
      },
    };
    const { status, text } = await submit({ workflow: graph }, { "comfyq-pool": "assets" });
    expect([status, text]).toEqual([201, expect.anything()]);
    const { request } = await api.claim("assets");
    expect(request.inputs).toEqual({ "5.inputs.image": { url: `asset:${asset.id}` } });
    expect(request.files).toEqual({ "/models/loras/style/fox.safetensors": { url: `asset:${asset.id}` } });
    expect(request.workflow["5"]?.inputs).toEqual({ image: "photo.png" });
    expect(request.workflow["6"]?.inputs).toEqual({ lora_name: "style/fox.safetensors" });
  });

  test.each([
    ["without an id", reference({ hash: "blake3:0" }), "invalid_workflow"],
    ["deep inside a value", { list: [reference({ id: randomUUID() })] }, "invalid_workflow"],
    ["to nothing", reference({ id: randomUUID() }), "missing_asset"],
    ["that are no ids", reference({ id: "../../etc/passwd" }), "missing_asset"],
    ["to an output of nobody", reference({ id: `${randomUUID()}.0123456789abcdef` }), "missing_asset"],
  ])("%s are refused at their place", async (_what, image, code) => {
    const answer = await submit({ workflow: loading(image) });
    expect(problem(answer)).toMatchObject({ status: 422, code });
    expect(answer.json.error.details.fields).toEqual([
      { path: "workflow.5.inputs.image", message: expect.any(String) },
    ]);
  });

  test("are looked for without copying a graph that has none", () => {
    const workflow: Record<string, unknown> = { ...GRAPH, "7": null, "8": { class_type: "X" } };
    expect(takeReferences(workflow)).toEqual({ workflow, references: [], faults: [] });
    expect(takeReferences(workflow).workflow).toBe(workflow);
  });
});

describe("outputs", () => {
  test("are assets of their tenant; what is of another looks like what is not there", async () => {
    await using own = await setup({
      dataDir: api.dataDir,
      redis: api.redis,
      env: { COMFYQ_KEYS_FILE: `${api.dataDir}/k.json` },
    });
    const [mine = "", theirs = ""] = await writeKeys(`${api.dataDir}/k.json`, [
      { tenant: "mine", scopes: ["submit", "read"] },
      { tenant: "theirs", scopes: ["submit", "read"] },
    ]);
    await expect.poll(async () => (await own.call("/v1/jobs")).status, { timeout: 8_000 }).toBe(401);
    const { json } = await own.post("/api/v2/jobs", { workflow: GRAPH }, bearer(mine));
    await own.succeed(await own.claim(), { "a.png": "png" }, [
      { node_id: "4", name: "score", type: "value", value: { n: 1 } },
    ]);
    const job = (await own.call(`/api/v2/jobs/${json.id}`, { headers: bearer(mine) })).json;
    expect(job.outputs.map(({ type, size_bytes }: { type: string; size_bytes: number }) => [type, size_bytes])).toEqual(
      [
        ["image", 3],
        ["text", 7],
      ],
    );
    for (const { id } of job.outputs) {
      const [content, foreign] = await Promise.all(
        [mine, theirs].map((key) => own.call(`/api/v2/assets/${id}/content`, { headers: bearer(key) })),
      );
      expect([content?.status, foreign?.status]).toEqual([200, 404]);
      const reference = { __type: "core/ASSET", info: { id } };
      const graph = { ...GRAPH, "5": { class_type: "LoadImage", inputs: { image: reference } } };
      expect((await own.post("/api/v2/jobs", { workflow: graph }, bearer(theirs))).json.error.code).toBe(
        "missing_asset",
      );
      expect((await own.post("/api/v2/jobs", { workflow: graph }, bearer(mine))).status).toBe(201);
    }
    const part = await own.call(`/api/v2/assets/${job.outputs[0].id}/content`, {
      headers: { ...bearer(mine), range: "bytes=1-" },
    });
    expect([part.status, part.text]).toEqual([206, "ng"]);
    const beyond = await own.call(`/api/v2/assets/${job.outputs[0].id}/content`, {
      headers: { ...bearer(mine), range: "bytes=9-" },
    });
    expect(beyond.status).toBe(416);
  });
});

test("links are host-relative, with the path that a proxy in front has put before them", async () => {
  await using own = await setup({ env: { COMFYQ_PUBLIC_URL: "http://127.0.0.1/deployment/7" } });
  const { json } = await own.post("/api/v2/jobs", { workflow: GRAPH });
  expect(json.urls.self).toBe(`/deployment/7/api/v2/jobs/${json.id}`);
});

test("events have no ids, and a wrong path or method is answered in the words of this API", async () => {
  const { json } = await submit({ workflow: GRAPH }, { "comfyq-pool": "events" });
  await api.post(json.urls.cancel, "");
  const { text } = await api.call(json.urls.events);
  expect(text).toContain('event: status\ndata: {"status":"canceled","queue_position":null}\n\n');
  expect(text).not.toMatch(/^id:/m);
  expect((await api.call("/api/v2/nothing")).json).toEqual({
    error: { code: "not_found", message: expect.any(String), details: null },
  });
  expect(problem(await api.call("/api/v2/jobs", { method: "DELETE" }))).toMatchObject({ status: 405 });
  expect(problem(await api.post("/api/v2/jobs", "{"))).toMatchObject({ status: 400, code: "invalid_request" });
});
