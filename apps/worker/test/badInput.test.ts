import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { NewJobBody, Workflow } from "@comfyq/contract";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { eventually, isEnded, setup } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==",
  "base64",
);
/** A whole PNG but for its size: what it says it is would take 10 GB. */
const BOMB = Buffer.concat([
  PIXEL.subarray(0, 16),
  Buffer.from([0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]),
  PIXEL.subarray(24),
  Buffer.alloc(500_000),
]);

const ANSWERS: Readonly<Record<string, RequestListener>> = {
  "/missing": (_, response) => response.writeHead(404).end("<html>not found</html>"),
  "/failing": (_, response) => response.writeHead(500).end(),
  "/loop": (_, response) => response.writeHead(302, { location: "/loop" }).end(),
  "/inside": (_, response) => response.writeHead(307, { location: "http://169.254.169.254/latest/meta-data" }).end(),
  "/drip": (_, response) => {
    const drip = setInterval(() => response.write("x"), 200);
    response.on("close", () => clearInterval(drip));
  },
  "/short": (_, response) => {
    response.writeHead(200, { "content-length": "100" }).write("short", () => response.socket?.end());
  },
  "/page": (_, response) =>
    response.writeHead(200, { "content-type": "image/png" }).end("<!doctype html><h1>Log in</h1>"),
  "/bomb": (_, response) => response.end(BOMB),
  "/archive": (_, response) => response.end(gzipSync(Buffer.alloc(10_000_000))),
  "/encoded": (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(PIXEL)),
  "/huge": (_, response) => response.end(Buffer.alloc(2_000_000)),
  "/empty": (_, response) => response.end(),
  "/good": (_, response) => response.end(PIXEL),
};

const copying = (): Workflow => ({
  "1": { class_type: "LoadImage", inputs: { image: "x.png" } },
  "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: randomUUID() } },
});

const stage = { closings: [] as (() => unknown)[], url: "", folder: "" };

beforeAll(async () => {
  const host = createServer((request, response) => ANSWERS[request.url ?? ""]?.(request, response));
  await new Promise<void>((resolve) => host.listen(0, "127.0.0.1", resolve));
  stage.url = `http://127.0.0.1:${(host.address() as AddressInfo).port}`; // listening on TCP, so it is one
  stage.folder = await mkdtemp(join(tmpdir(), "bad-input-"));
  stage.closings.push(
    () => host.closeAllConnections(),
    () => host.close(),
    () => rm(stage.folder, { recursive: true }),
  );
});
afterAll(async () => {
  for (const close of stage.closings) await close();
});

async function openHouse() {
  const house = await setup();
  const dir = await mkdtemp(join(stage.folder, "comfyui-"));
  const simulator = await house.simulator({ dir });
  await house.worker(simulator.url);
  const run = async (source: NonNullable<NewJobBody["inputs"]>[string]) => {
    const id = await house.submit(copying(), { max_attempts: 1, inputs: { "1.inputs.image": source } });
    await eventually(async () => isEnded(await house.read(id)));
    return house.read(id);
  };
  const inFolder = () => readdir(join(dir, "input", "comfyq")).catch(() => []);
  return { run, inFolder, prompts: () => simulator.stats().prompts.length };
}

test.each<[string, string, string]>([
  ["/missing", "input_unavailable", "answered 404"],
  ["/failing", "input_unreachable", "answered 500"],
  ["/loop", "input_unavailable", "redirects more than 3 times"],
  ["/drip", "input_unreachable", "has not sent everything within"],
  ["/short", "input_unreachable", "declared 100 bytes and sent"],
  ["/page", "input_unavailable", "gave an HTML page that is no image"],
  ["/bomb", "input_too_large", "PNG of 50000 x 50000 pixels"],
  ["/archive", "input_unavailable", "gave a gzip archive that is no image"],
  ["/encoded", "input_unavailable", "sends its bytes compressed"],
  ["/huge", "input_too_large", "more than the 1000000 that are allowed"],
  ["/empty", "input_unavailable", "gave no bytes at all"],
])(
  "a job whose source is %s fails by its customer's fault, leaves nothing, and the next job runs",
  async (path, code, told) => {
    const { run, inFolder, prompts } = await openHouse();
    const failed = await run(`${stage.url}${path}`);
    expect(failed).toMatchObject({ status: "failed", attempts: 1, error: { code, blame: "customer" } });
    expect(failed.error?.message).toContain("Input 1.inputs.image");
    expect(failed.error?.message).toContain(told);
    expect(prompts()).toBe(0);
    expect(await inFolder()).toEqual([]);
    expect(await run(`${stage.url}/good`)).toMatchObject({ status: "succeeded" });
    expect(await inFolder()).toHaveLength(1);
  },
);

test("bytes that do not have the hash they must have are no input, whatever their source", async () => {
  const { run, inFolder } = await openHouse();
  const sha256 = "0".repeat(64);
  for (const url of [`${stage.url}/good`, `data:image/png;base64,${PIXEL.toString("base64")}`]) {
    const failed = await run({ url, sha256 });
    expect(failed).toMatchObject({ status: "failed", error: { code: "input_unavailable", blame: "customer" } });
    expect(failed.error?.message).toMatch(/has the sha256 [0-9a-f]{64}, not 0{64}/);
  }
  expect(await inFolder()).toEqual([]);
});

test("a source in a private network, or one that redirects there, is refused before anything is connected to", async () => {
  const { run } = await openHouse();
  for (const url of [
    "http://169.254.169.254/latest/meta-data",
    "http://[::1]/x",
    "http://10.0.0.1/x",
    `${stage.url}/inside`,
  ])
    expect(await run(url)).toMatchObject({
      error: { code: "input_unavailable", message: expect.stringContaining("COMFYQ_ALLOW_HOSTS") },
    });
});
