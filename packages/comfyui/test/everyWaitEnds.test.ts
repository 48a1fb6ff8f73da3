import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { type ComfyUi, type ConnectOptions, connectComfyUi } from "../src/index.ts";
import { PROMPT_ID, type Stage, setup, tupleOf, WORKFLOW } from "./support/comfyScript.ts";
import { never } from "./support/watching.ts";

/** Short limits, so that each wait shows its end within a test. */
const LIMITS = {
  requestTimeoutMs: 100,
  submitTimeoutMs: 100,
  unreachableMs: 100,
  idleMs: 100,
  pollMs: 20,
  heartbeatMs: 50,
};

/** A port that takes connections, and whatever is sent, and never says a word: a stopped process. */
async function blackHole(limits: Partial<typeof LIMITS> & Pick<ConnectOptions, "dialect"> = {}) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // listening on TCP, so it is one
  const comfyui = connectComfyUi({ url: `http://127.0.0.1:${port}`, ...LIMITS, ...limits });
  return {
    comfyui,
    async [Symbol.asyncDispose]() {
      await comfyui.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const megabyte = () => Readable.from([Buffer.alloc(1 << 20)]);

const CALLS: readonly (readonly [string, (comfyui: ComfyUi) => Promise<unknown>, string])[] = [
  ["submit", (comfyui) => comfyui.submit({ promptId: PROMPT_ID, workflow: WORKFLOW }), "unreachable"],
  ["find", (comfyui) => comfyui.find(PROMPT_ID), "busy"],
  ["watch", (comfyui) => comfyui.watch(PROMPT_ID, { signal: never, stallMs: 0 }), "busy"],
  ["cancel", (comfyui) => comfyui.cancel(PROMPT_ID, { deadlineMs: 50 }), "busy"],
  ["upload of bytes", (comfyui) => comfyui.upload({ name: "a.png", body: Buffer.alloc(1 << 20) }), "busy"],
  ["upload of a stream", (comfyui) => comfyui.upload({ name: "a.png", body: megabyte() }), "busy"],
  ["view", (comfyui) => comfyui.view({ filename: "a.png" }), "busy"],
  ["sizeOf", (comfyui) => comfyui.sizeOf({ filename: "a.png" }), "busy"],
  ["forget", (comfyui) => comfyui.forget(PROMPT_ID), "busy"],
  ["queue", (comfyui) => comfyui.queue(), "busy"],
  ["history", (comfyui) => comfyui.history(PROMPT_ID), "busy"],
  ["finished", (comfyui) => comfyui.finished(10), "busy"],
  ["seek", (comfyui) => comfyui.seek(() => true), "busy"],
  ["job", (comfyui) => comfyui.job(PROMPT_ID), "busy"],
  ["free", (comfyui) => comfyui.free({ freeMemory: true }), "busy"],
  ["stats", (comfyui) => comfyui.stats(), "busy"],
  ["objectInfo", (comfyui) => comfyui.objectInfo(), "busy"],
  ["features", (comfyui) => comfyui.features(), "busy"],
];

describe.concurrent("against a server that takes connections and never answers", () => {
  test.each(CALLS)("%s ends", async (_, call, code) => {
    await using hole = await blackHole();
    await expect(call(hole.comfyui)).rejects.toMatchObject({ code });
  });

  test.each(CALLS)("%s ends when a cloud is asked, too", async (_, call) => {
    await using hole = await blackHole({ dialect: "cloud" });
    await call(hole.comfyui).catch((error: unknown) => expect(error).toMatchObject({ name: "ComfyError" }));
  });

  test("isReachable says yes: it may only be loading a model", async () => {
    await using hole = await blackHole();
    expect(await hole.comfyui.isReachable({ withinMs: 50 })).toBe(true);
  });

  test("a cancellation ends soon after its deadline, although one question may take long", async () => {
    await using hole = await blackHole({ requestTimeoutMs: 60_000 });
    const cancelled = hole.comfyui.cancel(PROMPT_ID, { deadlineMs: 50 }).catch(() => "the cancellation");
    const asked = hole.comfyui.isReachable({ withinMs: 4_000 }).then(() => "a question of 4 s");
    expect(await Promise.race([cancelled, asked])).toBe("the cancellation");
    await asked;
  });

  test("closing ends whatever is under way", async () => {
    await using hole = await blackHole();
    const waits = CALLS.map(async ([, call]) => call(hole.comfyui).catch((error: unknown) => error));
    await hole.comfyui.close();
    await Promise.all(waits);
  });
});

describe.concurrent("against a server that begins an answer and does not end it", () => {
  const half = () => ({ text: '{"queue_', headers: { "content-length": "100" } });

  test("a question ends", async () => {
    await using stage = await setup(LIMITS);
    stage.script.routes["GET /queue"] = half;
    await expect(stage.comfyui.queue()).rejects.toMatchObject({ code: "busy" });
  });

  test("a watch ends", async () => {
    await using stage = await setup(LIMITS);
    stage.script.routes["GET /queue"] = half;
    await expect(stage.comfyui.watch(PROMPT_ID, { signal: never, stallMs: 0 })).rejects.toMatchObject({ code: "busy" });
  });

  test("a file's body breaks off after idleMs", async () => {
    await using stage = await setup({ idleMs: 100 });
    stage.script.routes["GET /view"] = () => ({ bytes: Buffer.alloc(10), headers: { "content-length": "100" } });
    const { body } = await stage.comfyui.view({ filename: "a.png" });
    await expect(buffer(body)).rejects.toMatchObject({ code: "UND_ERR_BODY_TIMEOUT" });
  });

  test("a file that is not read for longer than idleMs is whole when it is", async () => {
    await using stage = await setup({ idleMs: 500 });
    const bytes = Buffer.alloc(4 << 20, 7);
    stage.script.routes["GET /view"] = () => ({ bytes });
    const { body } = await stage.comfyui.view({ filename: "a.png" });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect((await buffer(body)).equals(bytes)).toBe(true);
  });
});

describe.concurrent("an upload", () => {
  test("whose source pauses for longer than idleMs is not given up", async () => {
    await using stage = await setup({ idleMs: 500 });
    stage.script.routes["POST /upload/image"] = () => ({ json: { name: "a.png", subfolder: "", type: "input" } });
    async function* slowly() {
      yield Buffer.from("first");
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      yield Buffer.from("last");
    }
    const body = Readable.from(slowly(), { objectMode: false });
    expect(await stage.comfyui.upload({ name: "a.png", body })).toMatchObject({ name: "a.png" });
    expect(stage.server.seen("POST", "/upload/image")[0]?.body.toString()).toContain("firstlast");
  });

  test("whose signal is aborted while the server takes nothing ends with the signal's reason", async () => {
    await using hole = await blackHole();
    const stop = new AbortController();
    const uploaded = hole.comfyui.upload({ name: "a.png", body: megabyte(), signal: stop.signal });
    stop.abort(new Error("the lock was lost"));
    await expect(uploaded).rejects.toThrow("the lock was lost");
  });
});

describe.concurrent("a lost answer to a submission, when nothing answers any more", () => {
  /** From the submission on every question is left without an answer. */
  function fallSilent({ script }: Stage): void {
    for (const route of [`GET /history/${PROMPT_ID}`, "GET /queue", "GET /prompt"]) script.routes[route] = () => "hang";
  }

  test.each(["hang", "reset"] as const)("(%s) ends as not known, and is not sent again", async (how) => {
    await using stage = await setup({ ...LIMITS, submitTimeoutMs: 1_000 });
    stage.script.routes["POST /prompt"] = ({ json }) => {
      stage.script.running = [tupleOf(json)];
      fallSilent(stage);
      return how;
    };
    await expect(stage.submit()).rejects.toMatchObject({ code: "unreachable", facts: { confirmedAbsent: false } });
    expect(stage.server.seen("POST", "/prompt")).toHaveLength(1);
  });
});
