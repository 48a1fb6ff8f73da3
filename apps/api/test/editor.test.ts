import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFakeS3 } from "@comfyq/fake-s3";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { type Answer, GRAPH, setup, type TestApi, writeKeys } from "./setup.ts";

// A stand-in for the editor's folder; the real one was run by hand (infra/docs/doors.md).
const SCRIPT = "window.started = true";
const PAGE = `<!doctype html><script>${SCRIPT}</script><script type="module" src="./assets/index.js"></script>`;

let folder: string;
let api: TestApi;
let [own, foreign, blind]: readonly string[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "comfyq-editor-"));
  await mkdir(join(folder, "editor/assets"), { recursive: true });
  await writeFile(join(folder, "editor/index.html"), PAGE);
  await writeFile(join(folder, "editor/assets/index.js"), "export {}");
  await writeFile(join(folder, "editor/assets/frame.html"), "<script>alert(1)</script>");
  await writeFile(join(folder, "editor/.secret"), "hidden");
  [own, foreign, blind] = await writeKeys(join(folder, "keys.json"), [
    { tenant: "own", scopes: ["submit", "read", "cancel"] },
    { tenant: "foreign", scopes: ["submit", "read", "cancel"] },
    { tenant: "own", scopes: ["submit"] },
  ]);
  api = await setup({ dataDir: folder, env: { COMFYQ_EDITOR_DIR: join(folder, "editor") } });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});
afterEach(() => vi.unstubAllEnvs());

/** As the form on our page sends it. */
function giveKey(key: string, headers: Record<string, string> = { origin: api.url }): Promise<Answer> {
  const body = new URLSearchParams({ key });
  return api.call("/editor/key", { method: "POST", body, headers });
}

const cookieOf = async (key = own) => (await giveKey(String(key))).headers.get("set-cookie")?.split(";")[0] ?? "";

test("a browser without a key is asked for one, and with it gets the page and its files", async () => {
  const asked = await api.call("/");
  expect([asked.status, asked.headers.get("location")]).toEqual([303, "/editor/key"]);
  const form = await api.call("/editor/key");
  expect([form.status, form.headers.get("referrer-policy")]).toEqual([200, "same-origin"]); // else the form tells no origin
  expect(form.text).toContain('<form method="post" action="/editor/key">');
  const taken = await giveKey(String(own));
  expect([taken.status, taken.headers.get("location")]).toEqual([303, "/"]);
  expect(taken.headers.get("set-cookie")).toBe(`comfyq_key=${own}; Path=/; HttpOnly; SameSite=Strict`);
  const page = await api.call("/", { headers: { cookie: await cookieOf() } });
  expect([page.status, page.text]).toEqual([200, PAGE]);
  const script = await api.call("/assets/index.js");
  expect([script.status, script.headers.get("content-type")]).toEqual([200, expect.stringContaining("javascript")]);
  expect(api.log()).not.toContain(own);
});

test("the page may load from us only, and run no script that is not its own", async () => {
  const { headers } = await api.call("/", { headers: { cookie: await cookieOf() } });
  const policy = headers.get("content-security-policy") ?? "";
  const hash = createHash("sha256").update(SCRIPT).digest("base64");
  expect(policy).toContain(`script-src 'self' 'wasm-unsafe-eval' 'sha256-${hash}';`);
  expect(policy).toContain("default-src 'none';");
  expect(policy).toContain("connect-src 'self' data: blob:;");
  expect(policy).toContain("frame-ancestors 'none'");
  expect((await api.call("/assets/frame.html")).headers.get("content-security-policy")).toBe(
    "default-src 'none'; sandbox",
  );
});

test("a wrong key, one that may not read, an empty one and one from another page open nothing", async () => {
  const wrong = await giveKey("cq_live_wrong");
  expect([wrong.status, wrong.headers.get("set-cookie")]).toEqual([401, null]);
  expect(wrong.text).toContain("This API key is not known here");
  expect(await giveKey(String(blind))).toMatchObject({ status: 403 });
  for (const origin of ["https://evil.example", "null"])
    expect(await giveKey(String(own), { origin })).toMatchObject({ status: 403 });
  const forgotten = await giveKey("");
  expect(forgotten.headers.get("set-cookie")).toContain("Max-Age=0");
  expect((await api.call("/", { headers: { cookie: "comfyq_key=cq_live_wrong" } })).status).toBe(303);
});

describe("what the editor asks for", () => {
  test("is answered by the cookie, of its tenant only", async () => {
    const [mine, theirs] = [await cookieOf(), await cookieOf(foreign)];
    const submitted = await api.post("/api/prompt", { prompt: GRAPH }, { cookie: mine, origin: api.url });
    expect(submitted.status).toBe(200);
    const ids = async (cookie: string) => (await api.call("/api/jobs", { headers: { cookie } })).text;
    expect(await ids(mine)).toContain(submitted.json.prompt_id);
    expect(await ids(theirs)).not.toContain(submitted.json.prompt_id);
    expect((await api.call("/api/jobs")).status).toBe(401);
  });

  test("is not, when a page of another origin makes the browser ask", async () => {
    const cookie = await cookieOf();
    const evil = [{ origin: "https://evil.example" }, { "sec-fetch-site": "cross-site" }, { origin: "null" }];
    for (const headers of evil) {
      expect((await api.post("/api/prompt", { prompt: GRAPH }, { cookie, ...headers })).status).toBe(401);
      expect((await api.call("/api/jobs", { headers: { cookie, ...headers } })).status).toBe(401);
    }
  });

  test("is heard by a websocket with the cookie, and not by one of another page", async () => {
    const cookie = await cookieOf();
    const opened = (origin: string) =>
      new Promise((resolve) => {
        const socket = new WebSocket(`${api.url.replace("http", "ws")}/ws`, { headers: { cookie }, origin });
        socket.on("error", () => {});
        socket.once("message", (text: Buffer) => {
          resolve(JSON.parse(text.toString()).type);
          socket.terminate();
        });
        socket.once("unexpected-response", (_req, answer) => {
          resolve(answer.statusCode);
          socket.terminate();
        });
      });
    expect(await opened(api.url)).toBe("status");
    expect(await opened("https://evil.example")).toBe(401);
  });
});

test("nothing of the folder above, and nothing hidden, is sent; our own calls stay ours", async () => {
  for (const way of ["/.secret", "/..%2fkeys.json", "/%2e%2e/keys.json", "/assets/..%2f..%2fkeys.json", "/assets"])
    expect([way, (await api.call(way)).status]).toEqual([way, 404]);
  expect((await api.call("/livez")).json).toEqual({ ok: true });
  expect((await api.call("/docs")).text).toContain("comfyq API");
});

test("without the setting there is no editor, and a cookie is no key", async () => {
  await using plain = await setup({ redis: api.redis, dataDir: folder, env: { COMFYQ_PREFIX: "plain" } });
  expect((await plain.call("/")).headers.get("location")).toBe("docs");
  expect((await plain.call("/editor/key")).status).toBe(404);
  expect((await plain.call("/api/jobs", { headers: { cookie: await cookieOf() } })).status).toBe(401);
});

test("a folder without a page stops the API before it starts, and says so", async () => {
  const broken = setup({ redis: api.redis, dataDir: folder, env: { COMFYQ_EDITOR_DIR: join(folder, "nowhere") } });
  await expect(broken).rejects.toThrow("has no index.html that can be read");
});

test("over TLS the cookie is never sent in the clear, and the editor gets what is in a bucket from us", async () => {
  const credentials = { accessKeyId: "test", secretAccessKey: "test-secret" };
  await using s3 = await startFakeS3({ buckets: ["files"], ...credentials });
  vi.stubEnv("AWS_ACCESS_KEY_ID", credentials.accessKeyId);
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", credentials.secretAccessKey);
  const env = {
    COMFYQ_PREFIX: "tls",
    COMFYQ_EDITOR_DIR: join(folder, "editor"),
    COMFYQ_PUBLIC_URL: "https://comfyq.example",
    S3_BUCKET: "files",
    S3_ENDPOINT: s3.url,
  };
  await using remote = await setup({ redis: api.redis, dataDir: folder, env });
  const sent = { method: "POST", body: new URLSearchParams({ key: String(own) }), headers: { origin: remote.url } };
  const cookie = (await remote.call("/editor/key", sent)).headers.get("set-cookie") ?? "";
  expect(cookie).toContain("; Secure");
  const form = new FormData();
  form.set("image", new Blob(["0123456789"]), "a.png");
  const bearer = { authorization: `Bearer ${own}` };
  await remote.call("/upload/image", { method: "POST", body: form, headers: bearer });
  const view = (headers: Record<string, string>) => remote.call("/view?filename=a.png&type=input", { headers });
  expect(await view({ cookie: cookie.split(";")[0] ?? "", range: "bytes=2-4" })).toMatchObject({
    status: 206,
    text: "234",
  });
  expect((await view(bearer)).status).toBe(302); // a program follows it to the bucket
});
