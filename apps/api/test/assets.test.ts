import { createHash, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Answer, problem, setup, type TestApi } from "./setup.ts";

let api: TestApi;
beforeAll(async () => {
  api = await setup({ env: { COMFYQ_MAX_ASSET_BYTES: "3000000" } });
});
afterAll(() => api[Symbol.asyncDispose]());

function upload(bytes: Uint8Array<ArrayBuffer> | string, name = "in.png", type = ""): Promise<Answer> {
  const form = new FormData();
  form.set("file", new Blob([bytes], { type }), name);
  return api.call("/v1/assets", { method: "POST", body: form });
}

const spooled = () => readdir(join(api.dataDir, "spool"));

describe("assets", () => {
  test("are stored under their content, described, and read back byte for byte", async () => {
    const bytes = randomBytes(2_500_000);
    const answer = await upload(Uint8Array.from(bytes));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({
      hash: `sha256:${sha256}`,
      size_bytes: 2_500_000,
      content_type: "image/png",
      name: "in.png",
    });
    expect(answer.headers.get("location")).toBe(`${api.url}/v1/assets/${answer.json.id}`);
    expect((await api.call(`/v1/assets/${answer.json.id}`)).json).toEqual(answer.json);
    const content = await fetch(`${api.url}/v1/assets/${answer.json.id}/content`);
    expect(
      createHash("sha256")
        .update(Buffer.from(await content.arrayBuffer()))
        .digest("hex"),
    ).toBe(sha256);
    expect(content.headers.get("etag")).toBe(`"${sha256}"`);
    expect(await spooled()).toEqual([]);
  });

  test("the same bytes are the same asset, whatever they are called", async () => {
    const first = await upload("same", "first.txt");
    const again = await upload("same", "second.txt");
    expect(first.status).toBe(201);
    expect(again.status).toBe(200);
    expect(again.json).toEqual(first.json);
  });

  test("ten uploads of the same bytes at once are one asset", async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => upload("at once")));
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(1);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  });

  test("can be an input of a job", async () => {
    const { json } = await upload("an input");
    const { id } = await api.submit({ inputs: { "3.inputs.image": `asset:${json.id}` } });
    expect((await api.claim()).id).toBe(id);
  });

  test("a page is kept as unknown bytes and sent as a download", async () => {
    const { json } = await upload("<script>alert(1)</script>", "../../page.html", "text/html");
    expect(json).toMatchObject({ name: "page.html", content_type: "application/octet-stream" });
    const content = await api.call(`/v1/assets/${json.id}/content`);
    expect(content.headers.get("content-type")).toBe("application/octet-stream");
    expect(content.headers.get("content-disposition")).toBe('attachment; filename="page.html"');
  });

  test("one byte too many is refused, and nothing of it stays", async () => {
    expect(problem(await upload(new Uint8Array(3_000_001)))).toEqual({
      status: 413,
      code: "payload_too_large",
      message: "The file is larger than 3000000 bytes; make it smaller, or send it as a URL",
    });
    expect((await upload(new Uint8Array(3_000_000))).status).toBe(201);
    expect(await spooled()).toEqual([]);
  });

  test("a body without a file, an empty file, and no form at all are told apart", async () => {
    const form = new FormData();
    form.set("name", "x");
    const without = await api.call("/v1/assets", { method: "POST", body: form });
    expect(problem(without)).toEqual({
      status: 422,
      code: "invalid_request",
      message: "There is no file in the body; send one, as curl -F file=@photo.png does",
    });
    expect(problem(await upload("", "none.png"))).toEqual({
      status: 422,
      code: "invalid_request",
      message: 'The file "none.png" is empty',
    });
    expect(problem(await api.post("/v1/assets", {}))).toEqual({
      status: 415,
      code: "unsupported_media_type",
      message: "This call takes multipart/form-data with one file, as curl -F file=@photo.png sends it",
    });
    const headers = { "content-type": "multipart/form-data; boundary=x" };
    const torn = await api.call("/v1/assets", {
      method: "POST",
      headers,
      body: '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
    });
    expect(problem(torn)).toEqual({
      status: 422,
      code: "invalid_request",
      message: "The multipart body ended early or is malformed; send it again",
    });
    expect(await spooled()).toEqual([]);
  });

  test("an upload that breaks off leaves nothing behind", async () => {
    const { hostname, port } = new URL(api.url);
    const headers = { "content-type": "multipart/form-data; boundary=x", "content-length": "1000000" };
    const broken = request({ hostname, port, path: "/v1/assets", method: "POST", headers });
    broken.on("error", () => undefined); // we cut it ourselves
    broken.write('--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc');
    await expect.poll(spooled).toHaveLength(1);
    broken.destroy();
    await expect.poll(spooled).toEqual([]);
  });

  test("bytes inside a job are kept as an asset: the queue holds its name, and twice the same is one", async () => {
    const uri = `data:image/png;base64,${randomBytes(6_000).toString("base64")}`;
    const workflow = { "1": { class_type: "LoadImage", inputs: { image: "x" } } };
    const named: (string | undefined)[] = [];
    for (const _ of [1, 2]) {
      await api.submit({ workflow, inputs: { "1.inputs.image": uri } });
      named.push((await api.claim()).request.inputs["1.inputs.image"]?.url);
    }
    expect(named[0]).toMatch(/^asset:[0-9a-f-]{36}$/);
    expect(named[1]).toBe(named[0]);
    const content = await api.call(`/v1/assets/${named[0]?.slice("asset:".length)}/content`);
    expect(content.headers.get("content-type")).toBe("image/png");
    expect(content.headers.get("content-length")).toBe("6000");
  });
});
