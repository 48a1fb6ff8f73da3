import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { connectComfyUi } from "@comfyq/comfyui";
import { startSimulator } from "@comfyq/comfyui-simulator";
import type { Attempt } from "@comfyq/contract";
import { createLogger } from "@comfyq/runtime";
import { expect, onTestFinished, test } from "vitest";
import { stopEarlier } from "../src/attempt/stopEarlier.ts";
import { readConfig } from "../src/config.ts";
import { whyUnknown } from "../src/instance/whyUnknown.ts";
import { openComfyUi } from "../src/openComfyUi.ts";

/** A stranger's ComfyUI that knows nothing, and remembers what it was sent. */
async function stranger() {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    request.resume();
    response.writeHead(404, { "content-type": "application/json" }).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }; // listening on TCP, so it is one
}

const attemptAt = (instance: string): Attempt => ({
  ...{ epoch: 1, worker: "w", instance, stage: "rendering", end: null, counted: false, error: null, stop: null },
  ...{ prompt_id: "0190a0a0-0000-7000-8000-000000000000", prepare_ms: null, render_ms: null, store_ms: null },
  ...{ started_at: "2026-01-01T00:00:00.000Z", ended_at: null },
});

test("whoever stops a dead worker's prompt sends each host its own key, and none to those that have none", async () => {
  const [own, cloud, local] = [await stranger(), await stranger(), await stranger()];
  const hosts = [own, cloud].map(({ url }) => new URL(url).host);
  const config = {
    ...readConfig([`--comfyui-url=${own.url}`, `--comfyui-cloud-hosts=${hosts[1]}`]),
    COMFYUI_API_KEYS: new Map(hosts.map((host, at) => [host, `key-${at}`])),
  };
  const comfyui = connectComfyUi({ url: own.url });
  onTestFinished(() => comfyui.close());
  const log = createLogger({ name: "worker", level: "silent" });
  const earlier = [attemptAt(cloud.url), attemptAt(local.url)];
  await stopEarlier({ id: "j", earlier }, { comfyui, config, log }, new AbortController().signal);
  expect(new Set(cloud.seen.map(({ headers }) => headers["x-api-key"]))).toEqual(new Set(["key-1"]));
  expect(cloud.seen.every(({ url }) => url?.startsWith("/api/"))).toBe(true);
  expect(new Set(local.seen.map(({ headers }) => headers["x-api-key"]))).toEqual(new Set([undefined]));
});

test("what a cloud has no use for is left out, and its address is known by its name alone", () => {
  const flags = ["--comfyui-models-dir=/models", "--comfyui-output-dir=/out", "--comfyui-restart-command=reboot"];
  const cloud = readConfig(["--comfyui-url=https://me:MARKER@cloud.comfy.org/", ...flags]);
  expect(cloud).toMatchObject({ isCloud: true, instanceName: "https://cloud.comfy.org" });
  expect([cloud.COMFYUI_MODELS_DIR, cloud.COMFYUI_OUTPUT_DIR, cloud.COMFYUI_RESTART_COMMAND]).toEqual(
    Array(3).fill(undefined),
  );
  expect(readConfig(["--comfyui-url=https://cloud.comfy.org"]).workerId).toBe(cloud.workerId);
  expect(readConfig(["--comfyui-url=http://gpu:8188", ...flags])).toMatchObject({
    isCloud: false,
    COMFYUI_RESTART_COMMAND: "reboot",
  });
});

test("a cloud cannot have a worker fetch from a private address: that takes the operator's word", async () => {
  const simulator = await startSimulator({ cloud: { apiKey: "k" } });
  onTestFinished(() => simulator.close());
  const { host } = new URL(simulator.url);
  const log = createLogger({ name: "worker", level: "silent" });
  const open = (more: readonly string[]) => {
    const config = readConfig([`--comfyui-url=${simulator.url}`, `--comfyui-cloud-hosts=${host}`, ...more]);
    const comfyui = openComfyUi({ ...config, COMFYUI_API_KEYS: new Map([[host, "k"]]) }, log);
    onTestFinished(() => comfyui.close());
    return comfyui;
  };
  const [careful, told] = [open([]), open(["--comfyq-allow-hosts=127.0.0.1:*"])];
  const { name: filename } = await careful.upload({ name: "a.txt", body: Buffer.from("bytes") });
  await expect(careful.view({ filename })).rejects.toMatchObject({
    code: "unreachable",
    message: expect.stringMatching(/redirects elsewhere: 127\.0\.0\.1 .*COMFYQ_ALLOW_HOSTS/),
  });
  expect((await buffer((await told.view({ filename })).body)).toString()).toBe("bytes");
});

test("who is refused for want of a key is told which host wants one", async () => {
  const server = await stranger();
  const comfyui = connectComfyUi({ url: server.url });
  onTestFinished(() => comfyui.close());
  const config = readConfig([`--comfyui-url=${server.url}`]);
  const notThere = await comfyui.stats().catch((error: unknown) => error);
  expect(whyUnknown(notThere, config)).toMatch(/answered 404/);
  expect(whyUnknown(notThere, config)).not.toMatch(/key/);
});
