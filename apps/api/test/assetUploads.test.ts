import { createHash, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { startFakeS3 } from "@comfyq/fake-s3";
import { openStorage } from "@comfyq/storage";
import { createBLAKE3 } from "hash-wasm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Answer, problem, setup, type TestApi } from "./setup.ts";

let api: TestApi;
beforeAll(async () => {
  api = await setup({ env: { COMFYQ_MAX_ASSET_BYTES: "3000000", COMFYQ_ASSET_TYPES: "image/*, text/plain" } });
});
afterAll(() => api[Symbol.asyncDispose]());

const sha256Of = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");
const begin = (own: TestApi, wish: object) => own.post("/v1/assets/uploads", wish);
const send = ({ json }: Answer, body: Uint8Array<ArrayBuffer> | string, url: string = json.url) =>
  fetch(url, { method: json.method, headers: json.headers, body });
const complete = (own: TestApi, { json }: Answer) => own.post(`/v1/assets/uploads/${json.id}/complete`, {});
const LEFT = "application/octet-stream";

function uploadForm(own: TestApi, bytes: string, name: string, type = ""): Promise<Answer> {
  const form = new FormData();
  form.set("file", new Blob([bytes], { type }), name);
  return own.call("/v1/assets", { method: "POST", body: form });
}

/** The whole way of an upload, wherever the files are kept. */
async function goThrough(own: TestApi): Promise<void> {
  const bytes = Uint8Array.from(randomBytes(1_500_000));
  const sha256 = sha256Of(bytes);
  const begun = await begin(own, { name: "clip.png", size_bytes: bytes.length, sha256 });
  expect(begun).toMatchObject({ status: 201, json: { method: "PUT" } });
  expect(Date.parse(begun.json.expires_at)).toBeGreaterThan(Date.now() + 3_500_000);
  expect(problem(await complete(own, begun))).toMatchObject({ status: 409, code: "conflict" });
  expect((await send(begun, bytes)).ok).toBe(true);
  const [made, again] = [await complete(own, begun), await complete(own, begun)];
  expect(made).toMatchObject({
    status: 201,
    json: { hash: `sha256:${sha256}`, size_bytes: bytes.length, content_type: "image/png", name: "clip.png" },
  });
  expect(again).toMatchObject({ status: 200, json: made.json });
  const content = await fetch(`${own.url}/v1/assets/${made.json.id}/content`);
  expect(sha256Of(new Uint8Array(await content.arrayBuffer()))).toBe(sha256);
}

describe("a direct upload", () => {
  test("goes into the folder by a signed link of ours, and becomes an asset once its length and hash are right", async () => {
    await goThrough(api);
    expect(await readdir(join(api.dataDir, "spool"))).toEqual([]);
  });

  test("goes straight into the bucket when files are kept in S3", async () => {
    const credentials = { accessKeyId: "key-id", secretAccessKey: "secret-key" };
    await using s3 = await startFakeS3({ buckets: ["files"], ...credentials });
    const env = { S3_BUCKET: "files", S3_ENDPOINT: s3.url, S3_PREFIX: "some" };
    process.env["AWS_ACCESS_KEY_ID"] = credentials.accessKeyId;
    process.env["AWS_SECRET_ACCESS_KEY"] = credentials.secretAccessKey;
    await using own = await setup({ env });
    await goThrough(own);
    const store = openStorage("s3://files/some/uploads", { endpoint: s3.url, credentials });
    const left: string[] = [];
    for await (const { key } of store.list("")) left.push(key.split("/").at(-1) ?? "");
    await store.close();
    expect(left).toEqual(["upload.json"]);
  });

  test("of bytes that are an asset already is that asset", async () => {
    const known = await uploadForm(api, "known bytes", "first.txt");
    const begun = await begin(api, { name: "second.txt", size_bytes: 11 });
    await send(begun, "known bytes");
    expect(await complete(api, begun)).toMatchObject({ status: 200, json: known.json });
  });

  test("of other bytes than were announced is no asset, and the right ones may still be sent", async () => {
    const begun = await begin(api, { name: "a.txt", size_bytes: 5, sha256: sha256Of("right") });
    await send(begun, "wrong");
    expect(problem(await complete(api, begun))).toMatchObject({ status: 409, code: "hash_mismatch" });
    await send(begun, "right");
    expect((await complete(api, begun)).status).toBe(201);
  });

  test("of another length is refused at once", async () => {
    const begun = await begin(api, { name: "a.txt", size_bytes: 5 });
    for (const body of ["four", "sixsix"]) {
      const answer = await send(begun, body);
      expect(answer.status).toBe(422);
      expect(await answer.text()).toContain("5 were announced");
    }
    const drip = new ReadableStream({
      start: (stream) => {
        stream.enqueue(new TextEncoder().encode("123"));
        stream.close();
      },
    });
    const streamed = await fetch(begun.json.url, { method: "PUT", body: drip, duplex: "half" } as RequestInit); // undici's own field
    expect(streamed.status).toBe(422);
    expect(problem(await complete(api, begun))).toMatchObject({ status: 409, code: "conflict" });
  });

  test("cannot be sent by a link that was changed, nor to another key", async () => {
    const begun = await begin(api, { name: "a.txt", size_bytes: 5 });
    const { url } = begun.json as { url: string };
    for (const changed of [
      url.replace("size=5", "size=6"),
      url.replace(/uploads\/default\/[^/]+/, "jobs/x"),
      url.replace(/&signature.*/, ""),
    ])
      expect((await send(begun, "12345", changed)).status, changed).toBe(403);
    expect((await send(begun, "12345", url.replace("/content", "/..%2f..%2fx"))).status).toBe(403);
  });

  test.each<[string, object, number, string]>([
    ["a name with folders", { name: "../../etc/passwd", size_bytes: 1 }, 422, "must be a file's name without folders"],
    ["a name that is a folder", { name: "..", size_bytes: 1 }, 422, "must be a file's name"],
    ["no size", { name: "a.png" }, 422, "is missing"],
    ["an unknown field", { name: "a.png", size_bytes: 1, path: "/" }, 422, "is not a field here"],
    ["too many bytes", { name: "a.png", size_bytes: 3_000_001 }, 413, "larger than 3000000 bytes"],
    ["a type that is not taken", { name: "a.mp4", size_bytes: 1 }, 415, "only image/*, text/plain"],
    [
      "a type that is not taken, told under an unknown name",
      { name: "a", size_bytes: 1, content_type: "video/mp4" },
      415,
      "video/mp4",
    ],
  ])("with %s is refused", async (_what, wish, status, told) => {
    const answer = await begin(api, wish);
    expect(answer.status).toBe(status);
    expect(answer.text).toContain(told);
  });
});

test("a form with a file of a type that is not taken leaves nothing behind", async () => {
  const answer = await uploadForm(api, "bytes", "a.bin");
  expect(problem(answer)).toMatchObject({ status: 415, code: "unsupported_media_type" });
  expect(answer.text).toContain(LEFT);
  expect(await readdir(join(api.dataDir, "spool"))).toEqual([]);
});

test("an asset is found by each of its hashes, by its own tenant's only, and not under another one", async () => {
  const { json } = await uploadForm(api, "to be found", "a.txt");
  const blake3 = `blake3:${(await createBLAKE3()).init().update("to be found").digest("hex")}`;
  expect(json).toMatchObject({ blake3, hash: `sha256:${sha256Of("to be found")}` });
  for (const hash of [json.hash, blake3]) {
    expect((await api.call(`/v1/assets?hash=${hash}`)).json).toEqual(json);
    expect((await api.call(`/v1/assets?hash=${hash}`, { method: "HEAD" })).status).toBe(200);
  }
  for (const hash of [`blake3:${"0".repeat(64)}`, `sha256:${"0".repeat(64)}`])
    expect((await api.call(`/v1/assets?hash=${hash}`, { method: "HEAD" })).status).toBe(404);
  for (const hash of ["", "md5:00", "blake3:../../../x"])
    expect((await api.call(`/v1/assets?hash=${hash}`)).status).toBe(422);
});

describe("removing an asset", () => {
  const remove = (id: string) => api.call(`/v1/assets/${id}`, { method: "DELETE" });

  test("is refused while a job names it, and leaves nothing of it when none does", async () => {
    const { json } = await uploadForm(api, "to be removed", "a.txt");
    await api.submit({ inputs: { "3.inputs.image": `asset:${json.id}` } });
    expect(problem(await remove(json.id))).toMatchObject({ status: 409, code: "asset_in_use" });
    const free = (await uploadForm(api, "named by nobody", "a.txt")).json;
    expect((await remove(free.id)).status).toBe(204);
    for (const path of [`/v1/assets/${free.id}`, `/v1/assets?hash=${free.hash}`, `/v1/assets?hash=${free.blake3}`])
      expect((await api.call(path)).status).toBe(404);
    expect((await remove(free.id)).status).toBe(404);
    const store = openStorage(join(api.dataDir, "files"));
    const keys: string[] = [];
    for await (const { key } of store.list("assets/")) keys.push(key);
    expect(keys.filter((key) => key.includes(free.id) || key.includes(free.blake3.slice(7)))).toEqual([]);
    const job = {
      workflow: { "3": { class_type: "LoadImage", inputs: { image: "" } } },
      inputs: { "3.inputs.image": `asset:${free.id}` },
    };
    expect(problem(await api.post("/v1/jobs", job))).toMatchObject({ status: 422, code: "missing_asset" });
    expect((await uploadForm(api, "named by nobody", "a.txt")).status).toBe(201);
  });
});
