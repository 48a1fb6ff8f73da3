import { once } from "node:events";
import { decodeBinaryFrame } from "@comfyq/comfyui/wire";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import { eventually, finished, listen, picture, post, readJson, run, slow, socketUrl, start, submit } from "./setup.ts";
import { steppedClock } from "./steppedClock.ts";

test("gotcha 1: the first frame is status with the sid, which has 32 hex digits when the client named none", async () => {
  const simulator = await start();
  const named = await listen(simulator, "me");
  const nameless = await listen(simulator);
  expect(named.frames[0]).toEqual({
    type: "status",
    data: { status: { exec_info: { queue_remaining: 0 } }, sid: "me" },
  });
  expect(nameless.frames[0]).toMatchObject({ type: "status", data: { sid: expect.stringMatching(/^[0-9a-f]{32}$/) } });
});

test("gotcha 2: a second socket with the same id takes over, and the first one's end mutes it", async () => {
  const simulator = await start();
  const first = await listen(simulator, "me");
  const second = await listen(simulator, "me");
  const witness = await listen(simulator, "witness");
  await run(simulator, picture(), { client_id: "me" });
  await second.until(({ type, data }) => type === "executing" && data["node"] === null);
  await first.flush();
  expect(first.types()).toEqual(["status"]);
  second.frames.length = 0;
  witness.frames.length = 0;
  await first.close();
  await run(simulator, picture(2), { client_id: "me" });
  await witness.until(({ data }) => JSON.stringify(data).includes('"queue_remaining":0'));
  await second.flush();
  expect(second.socket.readyState).toBe(WebSocket.OPEN);
  expect(second.types()).toEqual([]);
});

test("gotcha 3: who reconnects during their own run is told the node once, without prompt id, and nothing else", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  const before = await listen(simulator, "me");
  clock.hold();
  const { prompt_id } = await submit(simulator, slow(1000, 4), { client_id: "me" });
  await clock.release();
  await before.until(({ type }) => type === "progress");
  await before.close();
  await eventually(simulator.stats, ({ websockets }) => websockets.open === 0);
  const after = await listen(simulator, "me");
  await after.flush();
  expect(after.frames).toMatchObject([{ type: "status" }, { type: "executing", data: { node: "1" } }]);
  expect(after.frames[1]).toEqual({ type: "executing", data: { node: "1" } });
  clock.letGo();
  await finished(simulator, prompt_id);
});

test("gotcha 4: only a client's first frame can announce feature flags", async () => {
  const simulator = await start();
  const late = await listen(simulator, "late");
  late.socket.send(JSON.stringify({ type: "hello" }));
  late.socket.send(JSON.stringify({ type: "feature_flags", data: { supports_preview_metadata: true } }));
  await late.flush();
  expect(late.types()).toEqual(["status"]);
  const prompt = await listen(simulator, "prompt", { supports_preview_metadata: true });
  expect(prompt.frames[1]).toMatchObject({ type: "feature_flags", data: { supports_preview_metadata: true } });
});

test("gotcha 5: one client who does not read stops everybody's frames, while HTTP goes on", async () => {
  const simulator = await start();
  const sleeper = await listen(simulator, "sleeper");
  const witness = await listen(simulator, "witness");
  sleeper.socket.pause();
  // More than the kernel keeps for a connection.
  const text = "x".repeat(24 * 1024 * 1024);
  const graph = { "1": { class_type: "PreviewAny", inputs: { source: text } } };
  await submit(simulator, graph, { client_id: "sleeper" });
  await eventually(simulator.stats, ({ prompts }) => prompts[0]?.outcome === "success");
  expect((await fetch(`${simulator.url}/prompt`)).status).toBe(200);
  await witness.flush();
  const counts = (): unknown[] => witness.frames.map((frame) => JSON.stringify(frame).match(/remaining":(\d)/)?.[1]);
  expect(counts()).toEqual(["0", "1", "1"]);
  await sleeper.close();
  await eventually(counts, (seen) => seen.length === 4);
  expect(counts()).toEqual(["0", "1", "1", "0"]);
});

test("gotcha 6: the server never pings, but answers pings", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock });
  clock.hold();
  const client = await listen(simulator, "me");
  let pings = 0;
  client.socket.on("ping", () => pings++);
  await run(simulator, picture(), { client_id: "me" });
  await client.flush();
  expect(pings).toBe(0);
  expect(clock.sleeping()).toBe(0); // and nothing waits to send one
});

test("gotcha 42: events may arrive before the answer of POST /prompt", async () => {
  const clock = steppedClock();
  const simulator = await start({ clock, faults: [{ kind: "prompt_answer_late", ms: 500 }] });
  const client = await listen(simulator, "me");
  clock.hold();
  let isAnswered = false;
  const answer = submit(simulator, picture(), { client_id: "me" }).finally(() => {
    isAnswered = true;
  });
  await client.until(({ type, data }) => type === "executing" && data["node"] === null);
  expect(isAnswered).toBe(false);
  clock.letGo();
  expect((await answer).status).toBe(200);
});

test("gotcha 44: a foreign Origin or a cross-site request is refused with 403, websockets too", async () => {
  const simulator = await start();
  const ask = async (headers: Record<string, string>): Promise<number> =>
    (await fetch(`${simulator.url}/queue`, { headers })).status;
  expect(await ask({ origin: "http://evil.example" })).toBe(403);
  expect(await ask({ origin: `http://localhost:${simulator.port}` })).toBe(403);
  expect(await ask({ origin: `http://127.0.0.1:${simulator.port + 1}` })).toBe(403);
  expect(await ask({ origin: simulator.url })).toBe(200);
  expect(await ask({ origin: "http://127.0.0.1" })).toBe(200);
  expect(await ask({ origin: "null" })).toBe(200);
  expect((await post(simulator, "/interrupt")).status).toBe(200);
  const socket = new WebSocket(socketUrl(simulator), { origin: "http://evil.example" });
  const [, refusal] = await once(
    socket.on("error", () => {}),
    "unexpected-response",
  );
  expect(refusal.statusCode).toBe(403);
  const older = await start({ version: "0.3.64" });
  for (const [server, status] of [
    [simulator, 403],
    [older, 200],
  ] as const) {
    expect(await crossSite(server.url)).toBe(status);
  }
});

test("gotcha 46: TEXT frames go to everybody and carry no prompt id", async () => {
  const simulator = await start();
  const stranger = await listen(simulator, "stranger");
  const graph = {
    "1": { class_type: "EmptyImage", inputs: { width: 32, height: 16, batch_size: 2, color: 0 } },
    "7": { class_type: "GetImageSize", inputs: { image: ["1", 0] } },
    "8": { class_type: "PreviewAny", inputs: { source: ["7", 0] } },
  };
  const { outputs } = await run(simulator, graph, { client_id: "me" });
  expect(outputs).toEqual({ "8": { text: ["32"] } });
  await eventually(stranger.types, (types) => types.includes("BIN3"));
  const frame = stranger.frames.find((found) => found instanceof Uint8Array);
  expect(decodeBinaryFrame(frame instanceof Uint8Array ? frame : new Uint8Array())).toEqual({
    kind: "text",
    nodeId: "7",
    text: "width: 32, height: 16\n batch size: 2",
  });
  expect(await readJson(fetch(`${simulator.url}/queue`))).toEqual({ queue_running: [], queue_pending: [] });
});

/** `fetch` does not let a caller set `Sec-Fetch-Site`: this asks by hand. */
async function crossSite(url: string): Promise<number> {
  const { request } = await import("node:http");
  const asking = request(`${url}/queue`, { headers: { "Sec-Fetch-Site": "cross-site" } }).end();
  const [answer] = await once(asking, "response");
  answer.resume();
  return answer.statusCode;
}
