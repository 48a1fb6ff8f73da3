import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { setup } from "./support/comfyScript.ts";
import type { Reply, Seen } from "./support/scriptedServer.ts";

/** The parts of a multipart body, read without any code of ours. */
async function readForm({ body, headers }: Seen): Promise<FormData> {
  return new Response(new Uint8Array(body), { headers: { "content-type": headers["content-type"] ?? "" } }).formData();
}

const stored: Reply = { json: { name: "cat.png", subfolder: "", type: "input" } };

describe("upload", () => {
  test("uses the name that the server returns, because it renames", async () => {
    await using stage = await setup();
    const answer = { name: "cat (1).png", subfolder: "in", type: "temp", asset: { id: "u" } };
    stage.script.routes["POST /upload/image"] = () => ({ json: answer });
    const body = Buffer.from("png bytes");
    const uploaded = await stage.comfyui.upload({
      body,
      name: "cat.png",
      subfolder: "in",
      type: "temp",
      overwrite: "replace",
      contentType: "image/png",
    });
    expect(uploaded).toEqual({ name: "cat (1).png", subfolder: "in", type: "temp" });
    const [request] = stage.server.seen("POST", "/upload/image");
    if (!request) throw new Error("nothing was uploaded");
    const form = await readForm(request);
    expect([form.get("subfolder"), form.get("type"), form.get("overwrite")]).toEqual(["in", "temp", "true"]);
    const file = form.get("image");
    if (!(file instanceof File)) throw new Error("no file part");
    expect([file.name, file.type, await file.text()]).toEqual(["cat.png", "image/png", "png bytes"]);
  });

  test("streams a body of unknown length, byte for byte", async () => {
    await using stage = await setup();
    stage.script.routes["POST /upload/image"] = () => stored;
    const chunks = Array.from({ length: 64 }, (_, index) => Buffer.alloc(16_384, index));
    await stage.comfyui.upload({ body: Readable.from(chunks), name: "clip.mp4" });
    const [request] = stage.server.seen("POST", "/upload/image");
    if (!request) throw new Error("nothing was uploaded");
    expect(request.headers["transfer-encoding"]).toBe("chunked");
    const file = (await readForm(request)).get("image");
    if (!(file instanceof File)) throw new Error("no file part");
    expect(Buffer.from(await file.arrayBuffer()).equals(Buffer.concat(chunks))).toBe(true);
  });

  test("keeps odd names apart from the form's own syntax", async () => {
    await using stage = await setup();
    stage.script.routes["POST /upload/image"] = () => stored;
    await stage.comfyui.upload({ body: Buffer.from("x"), name: 'ä "q"; name="type"\r\n.png' });
    const [request] = stage.server.seen("POST", "/upload/image");
    if (!request) throw new Error("nothing was uploaded");
    expect(request.body.toString()).toContain('filename="ä %22q%22; name=%22type%22%0D%0A.png"');
    expect((await readForm(request)).get("type")).toBe("input");
  });

  test.each(["../x.png", "a/b.png", "a\\b.png", "", "..", "x\0.png", "x.png [output]"])(
    "refuses to send the name %j",
    async (name) => {
      await using stage = await setup();
      await expect(stage.comfyui.upload({ body: Buffer.from("x"), name })).rejects.toMatchObject({
        code: "unsafe_path",
      });
      expect(stage.server.requests).toHaveLength(0);
    },
  );

  test.each<[number, string]>([
    [413, "payload_too_large"],
    [400, "rejected"],
    [500, "protocol"],
  ])("%i is %s", async (status, code) => {
    await using stage = await setup();
    stage.script.routes["POST /upload/image"] = () => ({ status, text: "no" });
    await expect(stage.comfyui.upload({ body: Buffer.from("x"), name: "x.png" })).rejects.toMatchObject({ code });
  });

  test("a body that breaks while it is read throws its own error", async () => {
    await using stage = await setup();
    stage.script.routes["POST /upload/image"] = () => stored;
    const mistake = new Error("the bucket went away");
    const body = Readable.from(
      (async function* () {
        yield Buffer.alloc(10);
        throw mistake;
      })(),
    );
    await expect(stage.comfyui.upload({ body, name: "x.png" })).rejects.toBe(mistake);
  });
});

describe("view", () => {
  const names = ["a.png", "ünï çødé.png", "50% & more?#x=+.png", "with space.png", 'quote".png'];

  test.each(names)("asks for %j exactly, with its folder and type", async (filename) => {
    await using stage = await setup();
    stage.script.routes["GET /view"] = () => ({
      bytes: Buffer.from("pixels"),
      headers: { "content-type": "image/png" },
    });
    const viewed = await stage.comfyui.view({ filename, subfolder: "sub/deep & dark", type: "temp" });
    expect(stage.server.seen("GET", "/view").map(({ query }) => query)).toEqual([
      { filename, subfolder: "sub/deep & dark", type: "temp" },
    ]);
    expect((await buffer(viewed.body)).toString()).toBe("pixels");
    expect([viewed.contentType, viewed.sizeBytes]).toEqual(["image/png", undefined]);
  });

  test("tells the size when the server does, and streams", async () => {
    await using stage = await setup();
    const bytes = Buffer.alloc(3_000_000, 7);
    stage.script.routes["GET /view"] = () => ({ bytes, headers: { "content-length": String(bytes.length) } });
    const { body, sizeBytes, contentType } = await stage.comfyui.view({ filename: "a.bin" });
    expect([sizeBytes, contentType]).toEqual([bytes.length, "application/octet-stream"]);
    expect((await buffer(body)).equals(bytes)).toBe(true);
  });

  const BYTES = Buffer.from("0123456789");
  const ranged = (from: number, to: number, more: Record<string, string> = {}) => ({
    status: 206,
    bytes: BYTES.subarray(from, to),
    headers: { "content-range": `bytes ${from}-${to - 1}/10`, etag: '"v1"', ...more },
  });

  test("a range gives its bytes, and tells the size and the version of the whole", async () => {
    await using stage = await setup();
    stage.script.routes["GET /view"] = () => ranged(2, 5);
    const viewed = await stage.comfyui.view({ filename: "a.bin" }, { range: { start: 2, end: 5 } });
    expect(stage.server.seen("GET", "/view")[0]?.headers["range"]).toBe("bytes=2-4");
    expect((await buffer(viewed.body)).toString()).toBe("234");
    expect(viewed.whole).toEqual({ sizeBytes: 10, version: expect.stringContaining('"v1"') });
  });

  test("a server that knows no ranges gives the whole file, and says nothing of ranges", async () => {
    await using stage = await setup();
    stage.script.routes["GET /view"] = () => ({ bytes: BYTES });
    const viewed = await stage.comfyui.view({ filename: "a.bin" }, { range: { start: 0 } });
    expect([(await buffer(viewed.body)).toString(), viewed.whole]).toEqual(["0123456789", undefined]);
  });

  test.each([
    ["an empty file has no range (416)", { status: 416, bytes: Buffer.from("") }],
    ["a range of unknown size", { status: 206, bytes: BYTES, headers: { "content-range": "bytes 0-9/*" } }],
    ["another range than was asked for", ranged(1, 10)],
    ["a compressed one", ranged(0, 10, { "content-encoding": "gzip" })],
  ])("%s: the file is asked for as a whole", async (_, answer) => {
    await using stage = await setup();
    stage.script.routes["GET /view"] = ({ headers }) => (headers["range"] === undefined ? { bytes: BYTES } : answer);
    const viewed = await stage.comfyui.view({ filename: "a.bin" }, { range: { start: 0 } });
    expect([(await buffer(viewed.body)).toString(), viewed.whole]).toEqual(["0123456789", undefined]);
  });

  test("a file that has no such range any more is an error, not other bytes", async () => {
    await using stage = await setup();
    stage.script.routes["GET /view"] = () => ({ status: 416, bytes: Buffer.from("") });
    await expect(stage.comfyui.view({ filename: "a.bin" }, { range: { start: 5 } })).rejects.toMatchObject({
      code: "protocol",
    });
  });

  test("fails when the server sends less than it announced", async () => {
    await using stage = await setup();
    stage.script.routes["GET /view"] = () => ({ bytes: Buffer.alloc(10), headers: { "content-length": "100" } });
    const { body } = await stage.comfyui.view({ filename: "a.bin" });
    setImmediate(() => stage.server[Symbol.asyncDispose]());
    await expect(buffer(body)).rejects.toThrow();
  });

  test("a folder inside the name becomes the subfolder, which /view does respect", async () => {
    await using stage = await setup();
    stage.script.routes["GET /view"] = () => ({ bytes: Buffer.from("x") });
    (await stage.comfyui.view({ filename: "y/b.png", subfolder: "x" })).body.resume();
    expect(stage.server.seen("GET", "/view")[0]?.query).toEqual({
      filename: "b.png",
      subfolder: "x/y",
      type: "output",
    });
  });

  test.each(["../secret.png", "/etc/passwd", "a/../../b.png", "C:\\x.png", "", "x.png [input]", "a\0.png"])(
    "refuses to ask for %j",
    async (filename) => {
      await using stage = await setup();
      await expect(stage.comfyui.view({ filename })).rejects.toMatchObject({ code: "unsafe_path" });
      expect(stage.server.requests).toHaveLength(0);
    },
  );

  test("refuses a subfolder that leaves its folder", async () => {
    await using stage = await setup();
    await expect(stage.comfyui.view({ filename: "a.png", subfolder: "../../etc" })).rejects.toMatchObject({
      code: "unsafe_path",
    });
  });

  test("a file that is gone is not_found", async () => {
    await using stage = await setup();
    await expect(stage.comfyui.view({ filename: "a.png" })).rejects.toMatchObject({ code: "not_found" });
  });

  test("a redirect in circles ends", async () => {
    await using stage = await setup();
    stage.script.routes["GET /view"] = () => ({ status: 302, headers: { location: "/view" } });
    await expect(stage.comfyui.view({ filename: "a.png" })).rejects.toMatchObject({ code: "protocol" });
  });

  test("an aborted signal ends the body too", async () => {
    await using stage = await setup();
    stage.script.routes["GET /view"] = () => ({ bytes: Buffer.alloc(10), headers: { "content-length": "100" } });
    const stop = new AbortController();
    const { body } = await stage.comfyui.view({ filename: "a.bin" }, { signal: stop.signal });
    const read = buffer(body);
    stop.abort(new Error("enough"));
    await expect(read).rejects.toThrow("enough");
  });
});

describe("sizeOf", () => {
  test.each([
    ["a file", { bytes: Buffer.alloc(10), headers: { "content-length": "10" } }, 10],
    ["an empty file", { headers: { "content-length": "0" } }, 0],
    ["no such file", { status: 404 }, undefined],
    ["a length of compressed bytes", { headers: { "content-length": "10", "content-encoding": "gzip" } }, undefined],
  ] as const)("asks for the head only: %s", async (_, reply, sizeBytes) => {
    await using stage = await setup();
    stage.script.routes["HEAD /view"] = () => reply;
    expect(await stage.comfyui.sizeOf({ filename: "comfyq/a.png", type: "input" })).toBe(sizeBytes);
    expect(stage.server.seen("HEAD", "/view")[0]?.query).toEqual({
      filename: "a.png",
      subfolder: "comfyq",
      type: "input",
    });
  });
});
