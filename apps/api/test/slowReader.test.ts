import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeBinaryFrame } from "@comfyq/comfyui/wire";
import { SCOPES } from "@comfyq/contract";
import type { HeldJob } from "@comfyq/queue";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { bearer, GRAPH, setup, type TestApi, writeKeys } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

// A client whose websocket is open and is not read: a laptop that sleeps, a page that hangs.
const MEGABYTE = 1_000_000;
/** What an API keeps for one client before it lets it go, and what the kernel may hold besides. */
const KEPT = { previews: 2 * MEGABYTE, all: 33.6 * MEGABYTE, kernel: 12 * MEGABYTE };

let api: TestApi;
let dataDir: string;
let [own, foreign]: readonly string[] = [];
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "comfyq-slow-"));
  const wishes = ["own", "foreign"].map((tenant) => ({ tenant, scopes: SCOPES }));
  [own, foreign] = await writeKeys(join(dataDir, "keys.json"), wishes);
  api = await setup({ dataDir });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(dataDir, { recursive: true, force: true });
});

/** A websocket that has been greeted; what it receives is counted, not kept. */
async function listen(clientId: string, key = own) {
  const socket = new WebSocket(`${api.url.replace("http", "ws")}/ws?clientId=${clientId}&token=${key}`);
  const heard = { previews: 0, bytes: 0, texts: [] as string[] };
  socket.on("message", (bytes: Buffer, isBinary) => {
    heard.bytes += bytes.length;
    if (isBinary) heard.previews += 1;
    else if (bytes.length < 500) heard.texts.push(bytes.toString());
    else heard.texts.push(bytes.toString("utf8", 0, 60));
  });
  await new Promise((resolve, reject) => {
    socket.once("message", resolve);
    socket.once("error", reject);
  });
  return { socket, heard };
}

/** A prompt that runs: its worker can show frames. */
async function running(clientId: string, key = own): Promise<HeldJob> {
  const wish = { prompt: GRAPH, client_id: clientId };
  const { prompt_id } = (await api.post("/prompt", wish, bearer(String(key)))).json;
  for (;;) {
    const held = await api.claim();
    if (held.id === prompt_id) return held;
  }
}

const preview = encodeBinaryFrame({ kind: "preview", contentType: "image/jpeg", image: new Uint8Array(MEGABYTE) });
const executed = (at: number, bytes: number) =>
  JSON.stringify({ type: "executed", data: { node: `${at}`, output: { text: ["x".repeat(bytes)] } } });

test("a reader that stops misses previews and no result, while its twin and other tenants hear everything at once", async () => {
  const stuck = await listen("shared");
  const twin = await listen("shared");
  const stranger = await listen("shared", foreign);
  const held = await running("shared");
  const theirs = await running("shared", foreign);
  stuck.socket.pause();
  const rounds = 150;
  for (let at = 1; at <= rounds; at += 1) {
    held.relay?.frame(preview, "moment");
    held.relay?.frame(executed(at, 10), "lasting");
    theirs.relay?.frame(executed(at, 10), "lasting");
    await vi.waitFor(() => {
      expect(twin.heard.texts.at(-1)).toContain(`"node":"${at}"`);
      expect(stranger.heard.texts.at(-1)).toContain(`"node":"${at}"`);
    }, 10_000);
  }
  expect(twin.heard.previews).toBe(rounds);
  expect(stranger.heard.previews).toBe(0);
  stuck.socket.resume();
  await vi.waitFor(() => expect(stuck.heard.texts.at(-1)).toContain(`"node":"${rounds}"`), 10_000);
  const results = stuck.heard.texts.filter((text) => text.includes('"executed"'));
  expect(results).toEqual(twin.heard.texts.filter((text) => text.includes('"executed"')));
  // What was kept for it, of 150 MB: all else was left out at once and stood in nobody's memory.
  expect(stuck.heard.bytes).toBeLessThan(KEPT.previews + KEPT.kernel);
  for (const { socket } of [stuck, twin, stranger]) socket.terminate();
  await api.succeed(held, { "a.png": "png" });
  await api.succeed(theirs, { "a.png": "png" });
});

test("a reader that never comes back is cut off before it fills the memory, and nobody else is", async () => {
  const stuck = await listen("shared");
  const twin = await listen("shared");
  const held = await running("shared");
  stuck.socket.pause();
  const closed = new Promise((resolve) => stuck.socket.once("close", resolve));
  const rounds = 60;
  for (let at = 1; at <= rounds; at += 1) {
    held.relay?.frame(executed(at, MEGABYTE), "lasting");
    await vi.waitFor(() => expect(twin.heard.texts.at(-1)).toContain(`"node":"${at}"`), 10_000);
  }
  stuck.socket.resume();
  await closed;
  expect(stuck.heard.bytes).toBeLessThan(KEPT.all + KEPT.kernel);
  await api.succeed(held, { "a.png": "png" });
  await vi.waitFor(() => expect(twin.heard.texts.at(-1)).toContain(`{"node":null,"prompt_id":"${held.id}"}`), 10_000);
  const again = await listen("shared"); // it may come back, and look into the history
  again.socket.terminate();
  twin.socket.terminate();
});
