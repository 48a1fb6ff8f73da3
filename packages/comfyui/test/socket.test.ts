import { describe, expect, test } from "vitest";
import { PROMPT_ID, setup, successEntry, tupleOf, until } from "./support/comfyScript.ts";
import { status } from "./support/scriptedServer.ts";
import { never } from "./support/watching.ts";

describe("the socket", () => {
  test("announces preview metadata in its first frame, and submits under its own client id", async () => {
    await using stage = await setup({ clientId: "worker-7" });
    await stage.submit();
    const [socket] = stage.server.sockets;
    expect(socket?.clientId).toBe("worker-7");
    await until(() => socket?.received.length === 1);
    expect(socket?.received).toEqual([{ type: "feature_flags", data: { supports_preview_metadata: true } }]);
    expect(stage.server.seen("POST", "/prompt")[0]?.json).toMatchObject({
      client_id: "worker-7",
      prompt_id: PROMPT_ID,
    });
  });

  test("there is one, however many prompts are watched", async () => {
    await using stage = await setup();
    stage.script.history.set("a", successEntry(tupleOf({ prompt_id: "a" }), {}));
    stage.script.history.set("b", successEntry(tupleOf({ prompt_id: "b" }), {}));
    await stage.submit();
    await Promise.all(["a", "b"].map((id) => stage.comfyui.watch(id, { signal: never, stallMs: 0 })));
    expect(stage.server.sockets).toHaveLength(1);
  });

  test("keeps its client id after a clean close", async () => {
    await using stage = await setup();
    await stage.submit();
    stage.server.sockets[0]?.close();
    await until(() => stage.server.sockets.length === 2);
    expect(stage.server.sockets[1]?.clientId).toBe(stage.server.sockets[0]?.clientId);
  });

  test("is kept while the server is slow at everything: it is loading a model", async () => {
    await using stage = await setup({ heartbeatMs: 40 });
    stage.script.routes["POST /prompt"] = (request) => {
      stage.server.send(status(1));
      return stage.script.accept(request);
    };
    await stage.submit();
    const [socket] = stage.server.sockets;
    stage.script.routes["GET /prompt"] = () => "hang";
    socket?.freeze();
    await until(() => stage.server.seen("GET", "/prompt").length > 2); // suspected, and excused
    socket?.thaw();
    const pings = socket?.pings() ?? 0;
    await until(() => (socket?.pings() ?? 0) > pings + 2);
    expect(stage.server.sockets).toHaveLength(1);
  });

  test("one that hears nothing of our own submission is replaced, under a new client id", async () => {
    await using stage = await setup({ heartbeatMs: 60 });
    await stage.submit(); // greeted, but no status frame follows
    await until(() => stage.server.sockets.length === 2);
    expect(stage.server.sockets[1]?.clientId).not.toBe(stage.server.sockets[0]?.clientId);
  });

  test("one that hears of our submission is kept", async () => {
    await using stage = await setup({ heartbeatMs: 60 });
    stage.script.routes["POST /prompt"] = (request) => {
      stage.server.send(status(1));
      return stage.script.accept(request);
    };
    await stage.submit();
    await until(() => (stage.server.sockets[0]?.pings() ?? 0) > 3); // more than a heartbeat has passed
    expect(stage.server.sockets).toHaveLength(1);
  });

  test("a key is sent with the handshake and never in an event", async () => {
    await using stage = await setup({ apiKey: "comfyui-secret", sockets: "refuse" });
    let headers: unknown;
    stage.script.routes["POST /prompt"] = (request) => {
      headers = request.headers["x-api-key"];
      return stage.script.accept(request);
    };
    await stage.submit();
    expect(headers).toBe("comfyui-secret");
    await until(() => stage.events.length > 0);
    expect(JSON.stringify(stage.events)).not.toContain("secret");
  });
});
