import { createHash } from "node:crypto";
import { startFakeS3 } from "@comfyq/fake-s3";
import { openStorage } from "@comfyq/storage";
import { Transformer } from "@napi-rs/image";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { parseRange } from "../src/objects/byteRange.ts";
import { problem, setup, type TestApi } from "./setup.ts";

const BYTES = Buffer.from("0123456789");

let api: TestApi;
let output: string;
let link: string;
beforeAll(async () => {
  api = await setup();
  const { id } = await api.submit();
  const files = {
    "a.png": BYTES,
    "evil page.html": "<script>alert(1)</script>",
    "Füchse.webp": "webp",
    "empty.txt": "",
  };
  await api.succeed(await api.claim(), files, [{ node_id: "7", name: "numbers", type: "value", value: [1, 2] }]);
  output = `/v1/jobs/${id}/outputs`;
  link = (await api.read(id)).outputs[0]?.url ?? "";
});
afterAll(() => api[Symbol.asyncDispose]());

describe("outputs in a folder store", () => {
  test("are sent with type, length, a tag of their content, and nothing a browser could run", async () => {
    const answer = await api.call(`${output}/a.png`);
    expect(answer).toMatchObject({ status: 200, text: "0123456789" });
    const { headers } = answer;
    expect(headers.get("content-type")).toBe("image/png");
    expect(headers.get("content-length")).toBe("10");
    expect(headers.get("etag")).toBe(`"${createHash("sha256").update(BYTES).digest("hex")}"`);
    expect(headers.get("content-disposition")).toBe('inline; filename="a.png"');
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toBe("default-src 'none'; sandbox");
  });

  test("a page is saved as unknown bytes, never shown", async () => {
    const { headers } = await api.call(`${output}/evil%20page.html`);
    expect(headers.get("content-type")).toBe("application/octet-stream");
    expect(headers.get("content-disposition")).toBe('attachment; filename="evil page.html"');
  });

  test("HEAD tells the same as GET, without bytes", async () => {
    const answer = await api.call(`${output}/a.png`, { method: "HEAD" });
    expect(answer).toMatchObject({ status: 200, text: "" });
    expect(answer.headers.get("content-length")).toBe("10");
  });

  test.each([
    ["bytes=0-3", "0123", "bytes 0-3/10"],
    ["bytes=7-", "789", "bytes 7-9/10"],
    ["bytes=-2", "89", "bytes 8-9/10"],
    ["bytes=5-500", "56789", "bytes 5-9/10"],
  ])("Range %s is answered with 206 and these bytes", async (range, text, contentRange) => {
    const answer = await api.call(`${output}/a.png`, { headers: { range } });
    expect(answer).toMatchObject({ status: 206, text });
    expect(answer.headers.get("content-range")).toBe(contentRange);
  });

  test("a range behind the end is answered with 416 and the size", async () => {
    const answer = await api.call(`${output}/a.png`, { headers: { range: "bytes=10-" } });
    expect(answer.status).toBe(416);
    expect(answer.headers.get("content-range")).toBe("bytes */10");
  });

  test("several ranges, other units and nonsense are answered with the whole file", () => {
    for (const header of [undefined, "bytes=0-1,3-4", "lines=0-1", "bytes=x", "bytes=5-2", "bytes=-"])
      expect(parseRange(header, 10)).toBe("whole");
    expect(parseRange("bytes=-0", 10)).toBe("unsatisfiable");
    expect(parseRange("bytes=0-", 0)).toBe("unsatisfiable");
  });

  test("a client that has the bytes is told so, and a range of another version is not mixed in", async () => {
    const etag = (await api.call(`${output}/a.png`)).headers.get("etag") ?? "";
    expect(await api.call(`${output}/a.png`, { headers: { "if-none-match": etag } })).toMatchObject({
      status: 304,
      text: "",
    });
    const headers = { range: "bytes=0-3", "if-range": '"other"' };
    expect(await api.call(`${output}/a.png`, { headers })).toMatchObject({ status: 200, text: "0123456789" });
  });

  test("a value is JSON, an empty file is empty, and any alphabet works", async () => {
    expect((await api.call(`${output}/numbers`)).json).toEqual([1, 2]);
    expect(await api.call(`${output}/empty.txt`)).toMatchObject({ status: 200, text: "" });
    const foxes = await api.call(`${output}/${encodeURIComponent("Füchse.webp")}`);
    expect(foxes.text).toBe("webp");
    expect(foxes.headers.get("content-disposition")).toContain("filename*=UTF-8''F%C3%BCchse.webp");
  });

  test("an output that is not there is named with those that are", async () => {
    expect(problem(await api.call(`${output}/b.png`))).toEqual({
      status: 404,
      code: "not_found",
      message: 'The job has no output "b.png"; it has a.png, evil page.html, Füchse.webp, empty.txt, numbers',
    });
  });
});

describe("what a customer asked to become of the files", () => {
  const store = () => openStorage(`${api.dataDir}/files`);

  test("a thumbnail has a fresh link beside its picture's, and a name to be read by", async () => {
    const { id } = await api.submit();
    const held = await api.claim();
    const keys = { picture: `jobs/${id}/1/fox.png`, small: `jobs/${id}/1/fox.thumb.webp` };
    for (const key of Object.values(keys)) await store().put(key, key, { contentType: "image/png" });
    const small = {
      name: "fox.thumb.webp",
      content_type: "image/webp",
      size_bytes: 5,
      width: 8,
      height: 4,
      key: keys.small,
    };
    const picture = { node_id: "9", name: "fox.png", type: "image" as const, content_type: "image/png", size_bytes: 3 };
    const warnings = ["No webp was made of it: it is animated"];
    const file = { ...picture, sha256: "0".repeat(64), key: keys.picture, thumbnail: small, warnings };
    await api.succeed(held, {}, [file]);
    const [shown] = (await api.read(id)).outputs;
    expect(shown).toMatchObject({
      warnings,
      thumbnail: { name: small.name, width: 8, height: 4, content_type: "image/webp" },
    });
    expect(JSON.stringify(shown)).not.toContain('"key"');
    expect((await api.call(shown?.thumbnail?.url ?? "")).text).toBe(keys.small);
    expect((await api.call(`/v1/jobs/${id}/outputs/fox.thumb.webp`)).text).toBe(keys.small);
  });

  test("files come with the job when that was asked, up to 1 MB together, and never with a list", async () => {
    const { id } = await api.submit({ output: { inline: true } });
    const large = Buffer.alloc(990_000, 1);
    await api.succeed(await api.claim(), { "large.bin": large, "too much.bin": Buffer.alloc(20_000), "a.png": BYTES });
    const { outputs } = await api.read(id);
    expect(outputs.map(({ name, data_base64 }) => [name, data_base64?.length])).toEqual([
      ["large.bin", large.toString("base64").length],
      ["too much.bin", undefined],
      ["a.png", BYTES.toString("base64").length],
    ]);
    expect((await api.call("/v1/jobs")).text).not.toContain("data_base64");
    await store().remove(`jobs/${id}/1/a.png`);
    expect((await api.read(id)).outputs[2]).not.toHaveProperty("data_base64");
  });

  test.each([
    [{ prefix: "jobs" }, "first name"],
    [{ prefix: "Cache/x" }, "first name"],
    [{ prefix: "../up" }, "letters"],
    [{ prefix: "a//b" }, "letters"],
    [{ prefix: "a/b." }, "dot"],
    [{ prefix: "/a" }, "letters"],
    [{ convert: { format: "gif" } }, "webp"],
    [{ convert: { format: "webp", quality: 101 } }, "100"],
    [{ thumbnail: { max_px: 5_000 } }, "1024"],
    [{ strip: true }, "strip"],
  ])("%j is refused when it is submitted", async (wish, why) => {
    const answer = await api.post("/v1/jobs", { workflow: { "1": { class_type: "A", inputs: {} } }, output: wish });
    expect(answer.status).toBe(422);
    expect(answer.text).toContain(why);
  });
});

describe("signed links", () => {
  test("need no key, know Range, and always save under the output's name", async () => {
    const answer = await api.call(link, { headers: { range: "bytes=0-1" } });
    expect(answer).toMatchObject({ status: 206, text: "01" });
    expect(answer.headers.get("content-disposition")).toBe('attachment; filename="a.png"');
  });

  test("changed in any part they open nothing", async () => {
    const url = new URL(link);
    const changes: readonly ((changed: URL) => void)[] = [
      (changed) => changed.searchParams.set("expires", "99999999999"),
      (changed) => changed.searchParams.set("name", "b.png"),
      (changed) => changed.searchParams.set("type", "text/html"),
      (changed) => changed.searchParams.set("signature", "AAAA"),
      (changed) => changed.searchParams.delete("signature"),
      (changed) => changed.searchParams.append("expires", "99999999999"),
      (changed) => {
        changed.pathname = changed.pathname.replace("a.png", "empty.txt");
      },
      (changed) => {
        changed.pathname = "/files/..%2f..%2fkeys.json";
      },
    ];
    for (const change of changes) {
      const changed = new URL(url);
      change(changed);
      expect([403, 422]).toContain((await api.call(changed.href)).status);
    }
    expect(problem(await api.call(link.replace("a.png", "b.png")))).toMatchObject({ status: 403, code: "forbidden" });
  });

  test("end with their time", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 3_700_000 });
    try {
      expect(problem(await api.call(link))).toEqual({
        status: 403,
        code: "forbidden",
        message: "This link has expired; read the job again for a fresh one",
      });
    } finally {
      vi.useRealTimers();
    }
  });

  test("are made for the public URL when there is one", async () => {
    await using own = await setup({ env: { COMFYQ_PUBLIC_URL: "https://queue.example.com/" } });
    const { id, urls } = await own.submit();
    await own.succeed(await own.claim(), { "a.png": "png" });
    expect(urls.self).toBe(`https://queue.example.com/v1/jobs/${id}`);
    const { outputs } = await own.read(id);
    expect(outputs[0]?.url).toMatch(/^https:\/\/queue\.example\.com\/files\/jobs\//);
  });

  test("work across processes of one installation, and not with another secret", async () => {
    const { pathname, search } = new URL(link);
    await using twin = await setup({ dataDir: api.dataDir });
    expect((await twin.call(pathname + search)).text).toBe("0123456789");
    await twin.restart({ COMFYQ_LINK_SECRET: "another secret of thirty-two characters" });
    expect((await twin.call(pathname + search)).status).toBe(403);
  });
});

describe("outputs in S3", () => {
  afterEach(() => vi.unstubAllEnvs());

  /** An API whose files are kept in a bucket, and a job of which `a.png` lies there. */
  async function inBucket(use: (own: TestApi, id: string, url: string) => Promise<void>): Promise<void> {
    const credentials = { accessKeyId: "test", secretAccessKey: "test-secret" };
    await using s3 = await startFakeS3({ buckets: ["outputs"], ...credentials });
    vi.stubEnv("AWS_ACCESS_KEY_ID", credentials.accessKeyId);
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", credentials.secretAccessKey);
    await using own = await setup({ env: { S3_BUCKET: "outputs", S3_PREFIX: "q", S3_ENDPOINT: s3.url } });
    const { id } = await own.submit();
    const held = await own.claim();
    const bucket = openStorage("s3://outputs/q", { endpoint: s3.url, credentials });
    await bucket.put(`jobs/${id}/1/a.png`, BYTES, { contentType: "image/png" });
    await own.succeed(held, { "a.png": BYTES });
    await bucket.close();
    await use(own, id, s3.url);
  }

  test("are a redirect to a fresh signed link that gives the bytes", () =>
    inBucket(async (own, id, s3Url) => {
      const answer = await own.call(`/v1/jobs/${id}/outputs/a.png`);
      expect(answer.status).toBe(302);
      expect(answer.headers.get("cache-control")).toBe("no-store");
      const location = answer.headers.get("location") ?? "";
      expect(location).toContain(s3Url);
      expect(await own.call(location)).toMatchObject({ status: 200, text: "0123456789" });
      expect((await own.read(id)).outputs[0]?.url).toContain("X-Amz-Signature");
      const form = new FormData();
      form.set("file", new Blob(["an input"]), "in.txt");
      const asset = await own.call("/v1/assets", { method: "POST", body: form });
      expect(asset.status).toBe(201);
      const content = await own.call(`/v1/assets/${asset.json.id}/content`);
      expect((await own.call(content.headers.get("location") ?? "")).text).toBe("an input");
    }));

  test("are a redirect by Comfy API v2, too, of outputs and of uploads, with ranges and names", () =>
    inBucket(async (own, id, s3Url) => {
      const job = (await own.call(`/api/v2/jobs/${id}`)).json;
      const [output] = job.outputs;
      const form = new FormData();
      form.set("content_type", "text/plain");
      form.set("file_path", "in.txt");
      form.set("file", new Blob(["an input"]), "in.txt");
      const uploaded = (await own.call("/api/v2/assets", { method: "POST", body: form })).json;
      for (const [assetId, bytes, name] of [
        [output.id, "0123456789", "a.png"],
        [uploaded.id, "an input", "in.txt"],
      ]) {
        const answer = await own.call(`/api/v2/assets/${assetId}/content`);
        expect([answer.status, answer.headers.get("cache-control")]).toEqual([302, "no-store"]);
        const location = answer.headers.get("location") ?? "";
        expect(location).toContain(s3Url);
        const followed = await own.call(location, { headers: { range: "bytes=1-2" } });
        expect([followed.status, followed.text]).toEqual([206, bytes.slice(1, 3)]);
        expect(followed.headers.get("content-disposition")).toContain(name);
      }
      expect((await own.call(output.url)).text).toBe("0123456789");
    }));

  test("are a redirect by ComfyUI's own API, but for a picture that is to be made first", () =>
    inBucket(async (own, id, s3Url) => {
      const answer = await own.call(`/view?filename=a.png&subfolder=${id}`);
      expect([answer.status, answer.headers.get("location")]).toEqual([302, expect.stringContaining(s3Url)]);
      const picture = await Transformer.fromRgbaPixels(new Uint8Array([1, 2, 3, 255]), 1, 1).png();
      const form = new FormData();
      form.set("image", new Blob([Uint8Array.from(picture)]), "b.png");
      await own.call("/upload/image", { method: "POST", body: form });
      const made = await own.call("/view?filename=b.png&type=input&preview=webp");
      expect([made.status, made.headers.get("content-type")]).toEqual([200, "image/webp"]);
    }));
});
