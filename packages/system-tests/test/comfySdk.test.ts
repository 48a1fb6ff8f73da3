import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  Comfy,
  ComfyError,
  type ComfyEvent,
  Forbidden,
  HashMismatch,
  IdempotencyKeyReuse,
  InvalidWorkflow,
  JobFailed,
  MissingAsset,
  NotFound,
  Unauthorized,
} from "@comfyorg/sdk";
import * as low from "@comfyorg/sdk/low";
import { afterAll, afterEach, expect, onTestFinished, test, vi } from "vitest";
import { copyImage, freshPixel, sampling, valuesOnly } from "./graphs.ts";
import { writeKeys } from "./keys.ts";
import { startProcess } from "./processes.ts";
import { setup } from "./setup.ts";

// The official SDK, as it is on npm, against the running system. It takes the address from the environment only.
const system = await setup({ workers: 2, simulatorArgs: ["--step-ms", "60"] });
afterAll(() => system[Symbol.asyncDispose]());
afterEach(() => vi.unstubAllEnvs());

/** The SDK, as one that has set `COMFY_BASE_URL` and perhaps has a key has it. */
function client(options: ConstructorParameters<typeof Comfy>[0] = {}, url = system.url): Comfy {
  vi.stubEnv("COMFY_BASE_URL", url);
  return new Comfy(options);
}

/** The SDK's transport: what its typed methods hide, such as keys and answers as they came. */
function transport(options: low.ComfyLowOptions = {}, url = system.url, key?: string): low.ComfyLow {
  return new low.ComfyLow(url, key, options);
}

/** Another API on the same data, with settings of its own. */
async function startOther(env: Readonly<Record<string, string>>): Promise<string> {
  const api = await startProcess("api", { env: { ...system.env, COMFYQ_PORT: "0", ...env } });
  onTestFinished(async () => void (await api.stop("SIGKILL")));
  return String(api.ready["url"]);
}

const graphOf = (graph: ReturnType<typeof sampling>): Record<string, unknown> => structuredClone(graph);

async function refused(work: Promise<unknown>): Promise<ComfyError & low.ApiError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof ComfyError || thrown instanceof low.ApiError) return thrown as ComfyError & low.ApiError;
  throw new Error(`nothing was refused: ${String(thrown)}`);
}

test("every operation that the SDK knows is documented here, and none is missing", async () => {
  const { paths } = (await (await fetch(`${system.url}/openapi.json`)).json()) as { paths: Record<string, object> };
  // ComfyUI's own API has a /v2/userdata, also under /api.
  const served = Object.entries(paths).filter(([path]) => /^\/api\/v2\/(?!userdata$)/.test(path));
  expect(served.flatMap(([, methods]) => Object.keys(methods))).toHaveLength(low.OPERATION_IDS.length);
});

test("a local picture goes up, a workflow with it is waited for, and what it made comes down, whole and in part", async () => {
  const comfy = client();
  const [picture, result] = [join(system.dataDir, "photo.png"), join(system.dataDir, "out.png")];
  await writeFile(picture, freshPixel());
  const workflow = comfy.workflows.fromJson(graphOf(copyImage("to be set")));
  workflow.setInput("10", "image", comfy.assets.fromFile(picture));
  const job = await comfy.run(workflow, { timeoutMs: 15_000 });
  const [output] = job.getOutputs("12");
  expect(output).toMatchObject({ type: "image", contentType: "image/png", jobId: job.id });
  await output?.toFile(result);
  const bytes = await readFile(result);
  expect([bytes.subarray(1, 4).toString(), bytes.length]).toEqual(["PNG", output?.sizeBytes]);
  expect(Buffer.from((await output?.toBytes({ range: [1, 3] })) ?? []).toString()).toBe("PNG");
  const link = await output?.getDownloadUrl();
  expect(Buffer.from(await (await fetch(String(link?.url))).arrayBuffer()).equals(bytes)).toBe(true);
  expect(await job.getWorkflow()).toMatchObject({ format: "api", workflow: { "10": { class_type: "LoadImage" } } });
});

test("what the server answers is what the SDK's own schemas say, for jobs, assets, workflows and errors", async () => {
  const raw = transport();
  const asset = await raw.postAssets(new Blob([freshPixel()]), "image/png", "photo.png", { tags: ["input", "test"] });
  low.schemas.zPostAssetsResponse.parse(asset);
  expect(asset).toMatchObject({ created_new: true, content_type: "image/png", file_path: "photo.png" });
  low.schemas.zGetAssetResponse.parse(await raw.getAsset(asset.id));
  const { id } = await raw.postJobs(graphOf(sampling(1)));
  await system.until(id, ({ status }) => status === "succeeded");
  const job = low.schemas.zGetJobResponse.parse(await raw.getJob(id));
  expect(job.urls).toEqual({
    self: `/api/v2/jobs/${id}`,
    events: `/api/v2/jobs/${id}/events`,
    cancel: `/api/v2/jobs/${id}/cancel`,
  });
  expect(job.outputs).toHaveLength(1);
  low.schemas.zGetAssetResponse.parse(await raw.getAsset(String(job.outputs[0]?.id)));
  low.schemas.zGetJobWorkflowResponse.parse(await raw.getJobWorkflow(job.urls.self));
  for (const path of [`/jobs/${randomUUID()}`, "/nothing"]) {
    const answer = await raw.request("GET", path);
    expect([answer.status, low.schemas.zErrorEnvelope.parse(await answer.json()).error.code]).toEqual([
      404,
      "not_found",
    ]);
  }
});

test("bytes that are there already are not sent again, by whatever handle", async () => {
  const bytes = freshPixel();
  const sent: string[] = [];
  const spy: typeof fetch = (url, init) => {
    sent.push(`${init?.method} ${typeof url === "string" && new URL(url).pathname.replace(/blake3.*/, "")}`);
    return fetch(url, init);
  };
  const comfy = client({ fetch: spy });
  const [first, second] = [comfy.assets.fromBytes(bytes, { filename: "a.png" }), comfy.assets.fromBytes(bytes)];
  expect([await first.commit(), first.createdNew]).toEqual([first.id, true]);
  expect([await second.commit(), second.createdNew]).toEqual([first.id, false]);
  expect(sent).toEqual([
    "HEAD /api/v2/assets/by-hash/",
    "POST /api/v2/assets",
    "HEAD /api/v2/assets/by-hash/",
    "POST /api/v2/assets/from-hash",
  ]);
  const again = await comfy.assets.get(String(first.id));
  expect([await again.hash(), again.filePath]).toEqual([await first.hash(), "a.png"]);
});

test("a job is streamed: every status once, progress that only grows, previews, and the outputs before the end", async () => {
  const comfy = client();
  const submitted = await comfy.submit(comfy.workflows.fromJson(graphOf(sampling(12))));
  const events: ComfyEvent[] = [];
  for await (const event of submitted.events()) events.push(event);
  const statuses = events.flatMap((event) => (event.kind === "statusChange" ? [event.status] : []));
  expect(statuses.filter((status, at) => statuses.indexOf(status) === at)).toEqual(statuses);
  expect(statuses.at(-1)).toBe("succeeded");
  const values = events.flatMap((event) => (event.kind === "progress" ? [event.value] : []));
  expect(values.length).toBeGreaterThan(1);
  expect(values.toSorted((a, b) => a - b)).toEqual(values);
  const previews = events.flatMap((event) => (event.kind === "preview" ? [event] : []));
  expect(previews[0]).toMatchObject({ contentType: expect.stringMatching(/^image\//) });
  const outputs = events.flatMap((event) => (event.kind === "outputReady" ? [event.output] : []));
  expect(events.at(-2)?.kind).toBe("outputReady");
  expect((await outputs[0]?.toBytes())?.length).toBe(outputs[0]?.sizeBytes);
  const late: ComfyEvent[] = [];
  for await (const event of (await comfy.jobs.get(submitted.id)).events()) late.push(event);
  expect(late.map(({ kind }) => kind)).toEqual(["outputReady", "statusChange"]);
});

test("a running job is canceled, which may be asked again, and its result is an error of the SDK's", async () => {
  const comfy = client();
  const job = await comfy.submit(comfy.workflows.fromJson(graphOf(sampling(1_000))));
  await system.until(job.id, ({ stage }) => stage === "rendering");
  expect(["canceling", "canceled"]).toContain((await job.cancel()).status);
  await expect(job.result()).rejects.toBeInstanceOf(JobFailed);
  expect(job.status).toBe("canceled");
  expect((await job.cancel()).status).toBe("canceled");
});

test("a job that fails says why, with the node", async () => {
  const comfy = client();
  const job = await comfy.submit(
    comfy.workflows.fromJson({
      "1": { class_type: "SimError", inputs: { type: "ValueError", message: "it broke" } },
      "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "x" } },
    }),
  );
  const failed = await job.result().catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(JobFailed);
  expect(failed).toMatchObject({ error: { code: "node_failed", node_id: "1", class_type: "SimError" } });
});

test("an output is an asset: it is read by its id, becomes the input of the next job, and stays while its job does", async () => {
  const raw = transport();
  const made = await raw.postJobs(graphOf(sampling(1)));
  const { outputs } = await system.until(made.id, ({ status }) => status === "succeeded");
  const [output] = (await raw.getJob(made.id)).outputs;
  const reference = { __type: "core/ASSET", info: { id: output?.id } };
  const next = await raw.postJobs({
    ...copyImage("x"),
    "10": { class_type: "LoadImage", inputs: { image: reference } },
  });
  const ended = await system.until(next.id, ({ status }) => status === "succeeded");
  expect([ended.outputs.length, outputs.length]).toEqual([1, 1]);
  expect(await refused(raw.deleteAsset(String(output?.id)))).toMatchObject({ httpStatus: 409, code: "asset_in_use" });
  const values = await raw.postJobs({ ...valuesOnly });
  await system.until(values.id, ({ status }) => status === "succeeded");
  const [text] = (await raw.getJob(values.id)).outputs;
  expect(text).toMatchObject({ type: "text", content_type: "text/plain; charset=utf-8" });
  expect(await (await raw.getAssetContent(String(text?.id))).text()).toBe("a fox in snow");
});

test("an Idempotency-Key is used once: again with any body is refused, and it is free when the first was refused", async () => {
  const comfy = client();
  const workflow = comfy.workflows.fromJson(graphOf(sampling(1)));
  const idempotencyKey = randomUUID();
  const rubbish = comfy.workflows.fromJson({ "1": { class_type: "NoSuchNode", inputs: {} } });
  expect(await refused(comfy.submit(rubbish, { idempotencyKey }))).toBeInstanceOf(InvalidWorkflow);
  const job = await comfy.submit(workflow, { idempotencyKey });
  for (const again of [workflow, rubbish]) {
    const error = await refused(comfy.submit(again, { idempotencyKey }));
    expect(error).toBeInstanceOf(IdempotencyKeyReuse);
    expect(error.httpStatus).toBe(422);
  }
  expect((await comfy.jobs.get(job.id)).id).toBe(job.id);
});

test("a refusal of a graph names the nodes; the editor's format, unknown assets and wrong hashes have errors of their own", async () => {
  const comfy = client();
  const raw = transport();
  const unknown = comfy.workflows.fromJson({ "7": { class_type: "KSampelr", inputs: {} } });
  const error = await refused(comfy.submit(unknown));
  expect(error).toBeInstanceOf(InvalidWorkflow);
  expect(error.details).toMatchObject({ nodes: { "7": [expect.stringContaining("did you mean KSampler?")] } });
  expect(await refused(raw.postJobs({ nodes: [], links: [], last_node_id: 1 }))).toBeInstanceOf(low.WorkflowFormatUi);
  const reference = { __type: "core/ASSET", info: { id: randomUUID() } };
  const lost = comfy.workflows.fromJson(graphOf(copyImage("x")));
  lost.setInput("10", "image", reference);
  const missing = await refused(comfy.submit(lost));
  expect(missing).toBeInstanceOf(MissingAsset);
  expect(missing.details).toMatchObject({ nodes: { "10": [expect.stringContaining("inputs.image names the asset")] } });
  const expectedHash = `blake3:${"0".repeat(64)}`;
  const upload = raw.postAssets(new Blob(["x"]), "text/plain", "x.txt", { expectedHash });
  expect(await refused(upload)).toBeInstanceOf(low.HashMismatch);
  expect(HashMismatch.prototype).toBeInstanceOf(ComfyError);
  expect(await refused(raw.assetFromHash(expectedHash))).toBeInstanceOf(low.BlobNotFound);
  expect(await raw.headAssetByHash(expectedHash)).toBe(false);
  expect(await refused(comfy.jobs.get(randomUUID()))).toBeInstanceOf(NotFound);
  expect(await refused(comfy.assets.get(randomUUID()))).toBeInstanceOf(NotFound);
});

test("an asset that a job names cannot be deleted, and one that none names can", async () => {
  const comfy = client();
  const [used, unused] = [comfy.assets.fromBytes(freshPixel()), comfy.assets.fromBytes(freshPixel())];
  const workflow = comfy.workflows.fromJson(graphOf(copyImage("x")));
  workflow.setInput("10", "image", used);
  await comfy.run(workflow);
  const error = await refused(used.delete());
  expect(error).toMatchObject({
    httpStatus: 409,
    code: "asset_in_use",
    message: "This asset is in use and cannot be removed",
  });
  const id = await unused.commit();
  await unused.delete();
  expect(await refused(comfy.assets.get(id))).toBeInstanceOf(NotFound);
});

test("a full queue is QueueFull with a time to wait, and a submission waits for room by itself", async () => {
  const fill = "for i = 1, 100000 do redis.call('ZADD', KEYS[1], i, 'filler-' .. i) end";
  await system.redisCommand("EVAL", fill, "1", "comfyq:jobs-crowded:delayed");
  const statuses: number[] = [];
  const crowded: typeof fetch = async (url, init) => {
    const headers = new Headers(init?.headers);
    headers.set("Comfyq-Pool", "crowded");
    const answer = await fetch(url, { ...init, headers });
    statuses.push(answer.status);
    return answer;
  };
  const error = await refused(transport({ fetch: crowded }).postJobs(graphOf(sampling(1))));
  expect(error).toBeInstanceOf(low.QueueFull);
  expect(error).toMatchObject({ httpStatus: 429, code: "queue_full", retryAfter: 60 }); // nothing has ended there yet
  const comfy = client({ fetch: crowded });
  const leave = new AbortController();
  const idempotencyKey = randomUUID();
  const waiting = comfy.submit(comfy.workflows.fromJson(graphOf(sampling(1))), {
    signal: leave.signal,
    idempotencyKey,
  });
  const left = expect(waiting).rejects.toThrow();
  await vi.waitFor(() => expect(statuses).toEqual([429, 429]));
  leave.abort();
  await left;
  await system.redisCommand("DEL", "comfyq:jobs-crowded:delayed");
  const job = await comfy.submit(comfy.workflows.fromJson(graphOf(sampling(1))), { idempotencyKey });
  expect(job.status).toBe("queued"); // nobody serves this pool
  expect((await job.cancel()).status).toBe("canceled");
});

test("too many streams is a 429 after which the SDK comes again, and a file that is too large a 413", async () => {
  const url = await startOther({ COMFYQ_MAX_STREAMS: "1", COMFYQ_MAX_ASSET_BYTES: "2048" });
  const comfy = client({}, url);
  const raw = transport({}, url);
  const job = await comfy.submit(comfy.workflows.fromJson(graphOf(sampling(1_000))));
  const first = raw.getJobEvents(job.id);
  await first.next();
  const error = await refused(raw.getJobEvents(job.id).next());
  expect(error).toMatchObject({ httpStatus: 429, code: "too_many_streams", retryAfter: 5 });
  await first.return(undefined);
  await job.cancel();
  expect((await job.wait()).status).toBe("canceled");
  const large = await refused(comfy.assets.fromBytes(new Uint8Array(5_000)).commit());
  expect(large).toMatchObject({ httpStatus: 413, code: "payload_too_large" });
});

test("keys are asked for: none or a wrong one is Unauthorized, one without the scope Forbidden, and other tenants' things NotFound", async () => {
  const keysFile = join(system.dataDir, "sdk-keys.json");
  const keys = await writeKeys(keysFile, [
    { tenant: "own", scopes: ["submit", "read", "cancel"] },
    { tenant: "own", scopes: ["read"] },
    { tenant: "other", scopes: ["submit", "read", "cancel"] },
  ]);
  const url = await startOther({ COMFYQ_KEYS_FILE: keysFile });
  const [own, reader, other] = keys.map((apiKey) => client({ apiKey }, url));
  const workflow = own?.workflows.fromJson(graphOf(sampling(1)));
  if (!own || !reader || !other || !workflow) throw new Error("three keys were written");
  for (const stranger of [client({}, url), client({ apiKey: "cq_live_wrong" }, url)])
    expect(await refused(stranger.submit(workflow))).toBeInstanceOf(Unauthorized);
  expect(await refused(reader.submit(workflow))).toBeInstanceOf(Forbidden);
  const job = await own.run(workflow, { timeoutMs: 15_000 });
  expect((await reader.jobs.get(job.id)).status).toBe("succeeded");
  expect(await refused(other.jobs.get(job.id))).toBeInstanceOf(NotFound);
  expect(await refused(other.assets.get(String(job.outputs[0]?.id)))).toBeInstanceOf(NotFound);
  const asset = own.assets.fromBytes(freshPixel());
  await asset.commit();
  expect(await refused(other.assets.get(String(asset.id)))).toBeInstanceOf(NotFound);
  expect(await transport({}, url, keys[2]).headAssetByHash(await asset.hash())).toBe(false);
});
