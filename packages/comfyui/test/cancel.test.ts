import { describe, expect, test } from "vitest";
import { PROMPT_ID, type Stage, setup, successEntry, tupleOf, until } from "./support/comfyScript.ts";

const mine = tupleOf({ prompt_id: PROMPT_ID });
const other = tupleOf({ prompt_id: "somebody-else" });
const CANCEL = `POST /api/jobs/${PROMPT_ID}/cancel`;

function interruptable({ script }: Stage): void {
  script.routes["POST /interrupt"] = ({ json }) => {
    const interrupted = script.running.filter(([, id]) => JSON.stringify(json).includes(id));
    for (const tuple of interrupted) script.history.set(tuple[1], successEntry(tuple, {}));
    script.running = script.running.filter((tuple) => !interrupted.includes(tuple));
    return {};
  };
  script.routes["POST /queue"] = ({ json }) => {
    script.pending = script.pending.filter(([, id]) => !JSON.stringify(json).includes(id));
    return {};
  };
}

describe.concurrent("cancelling", () => {
  test("a pending prompt of an older server deletes it from the queue, and interrupts nobody", async () => {
    await using stage = await setup();
    stage.script.version = "0.3.64";
    interruptable(stage);
    stage.script.running = [other];
    stage.script.pending = [mine];
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 5_000 })).toMatchObject({ stopped: true });
    expect(stage.server.seen("POST", "/interrupt")).toHaveLength(0);
    expect(stage.server.seen("POST", "/queue").map(({ json }) => json)).toEqual([{ delete: [PROMPT_ID] }]);
    expect(stage.script.running).toEqual([other]);
  });

  test("a running prompt of an older server interrupts it by name", async () => {
    await using stage = await setup();
    stage.script.version = "0.3.64";
    interruptable(stage);
    stage.script.running = [mine];
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 5_000 })).toMatchObject({ stopped: true });
    expect(stage.server.seen("POST", "/interrupt").map(({ json }) => json)).toEqual([{ prompt_id: PROMPT_ID }]);
  });

  test.each(["pending", "running"] as const)(
    "a %s prompt of a newer server uses the one call that cannot miss",
    async (place) => {
      await using stage = await setup();
      stage.script[place] = [mine];
      stage.script.routes[CANCEL] = () => {
        stage.script[place] = [];
        return { json: { cancelled: true } };
      };
      expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 5_000 })).toMatchObject({ stopped: true });
      expect(
        stage.server.requests
          .filter(({ path }) => path === "/interrupt" || path === "/queue")
          .every(({ method }) => method === "GET"),
      ).toBe(true);
    },
  );

  test("a server that turns out not to have that call is asked the older way", async () => {
    await using stage = await setup(); // claims 0.33, answers 404
    interruptable(stage);
    stage.script.running = [mine];
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 5_000 })).toMatchObject({ stopped: true });
    expect(stage.server.seen("POST", "/interrupt")).toHaveLength(1);
  });

  test.each(["finished", "unknown"])("a %s prompt is already stopped, and nothing is sent", async (place) => {
    await using stage = await setup();
    if (place === "finished") stage.script.history.set(PROMPT_ID, successEntry(mine, {}));
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 5_000 })).toMatchObject({ stopped: true });
    expect(stage.server.requests.filter(({ method }) => method === "POST")).toHaveLength(0);
  });

  test("an interrupt that was lost is sent again", async () => {
    await using stage = await setup();
    stage.script.version = "0.3.64";
    interruptable(stage);
    const takes = stage.script.routes["POST /interrupt"];
    let count = 0;
    stage.script.routes["POST /interrupt"] = (request) => {
      count += 1;
      return count === 1 || !takes ? {} : takes(request); // the first lands between two states (§1.2)
    };
    stage.script.running = [mine];
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 10_000 })).toMatchObject({ stopped: true });
    expect(count).toBe(2);
  });

  test("a node that does not let go is named, when the deadline has passed", async () => {
    await using stage = await setup();
    await stage.submit();
    stage.script.routes[CANCEL] = () => ({ json: { cancelled: true } });
    stage.server.send({ type: "executing", data: { node: "2", display_node: "2", prompt_id: PROMPT_ID } });
    await stage.server.sockets[0]?.flushed();
    const cancelled = await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 300 });
    expect(cancelled).toMatchObject({ stopped: false, stuckNode: { node_id: "2", class_type: "SaveImage" } });
  });

  test("a node that let go only after ignoring interrupts for seconds is named too", async () => {
    await using stage = await setup();
    await stage.submit();
    let interrupts = 0;
    stage.script.routes[CANCEL] = () => {
      interrupts += 1;
      if (interrupts === 5) stage.script.running = [];
      return { json: { cancelled: true } };
    };
    stage.server.send({ type: "executing", data: { node: "2", display_node: "2", prompt_id: PROMPT_ID } });
    await stage.server.sockets[0]?.flushed();
    const cancelled = await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 60_000 });
    expect(cancelled).toMatchObject({ stopped: true, stuckNode: { node_id: "2", class_type: "SaveImage" } });
  });

  test("a node that lets go at once is not blamed", async () => {
    await using stage = await setup();
    await stage.submit();
    stage.script.routes[CANCEL] = () => {
      stage.script.running = [];
      return { json: { cancelled: true } };
    };
    stage.server.send({ type: "executing", data: { node: "2", display_node: "2", prompt_id: PROMPT_ID } });
    await stage.server.sockets[0]?.flushed();
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 60_000 })).not.toHaveProperty("stuckNode");
  });

  test("an older server's interrupt, which hits whatever runs, is not sent once another prompt runs", async () => {
    await using stage = await setup();
    stage.script.version = "0.3.40";
    interruptable(stage);
    stage.script.running = [mine];
    let looks = 0;
    stage.script.routes["GET /queue"] = () => {
      looks += 1;
      if (looks === 2) stage.script.running = [other]; // ours has ended between the look and the interrupt
      return { json: { queue_running: stage.script.running, queue_pending: [] } };
    };
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 5_000 })).toMatchObject({ stopped: true });
    expect(stage.server.seen("POST", "/interrupt")).toHaveLength(0);
    expect(stage.script.running).toEqual([other]);
  });

  test.each(["GET /features", "GET /system_stats"])("a server whose %s fails is still told to stop", async (route) => {
    await using stage = await setup();
    stage.script.routes[route] = () => ({ status: 500, text: "500 Internal Server Error" }); // as with a broken GPU
    interruptable(stage);
    stage.script.running = [mine];
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 10_000 })).toMatchObject({ stopped: true });
    expect(stage.server.seen("POST", "/interrupt").map(({ json }) => json)).toEqual([{ prompt_id: PROMPT_ID }]);
  });

  test("a server that does not tell what it can do is still told to stop", async () => {
    await using stage = await setup();
    stage.script.routes["GET /features"] = () => "hang";
    interruptable(stage);
    stage.script.running = [mine];
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 20_000 })).toMatchObject({ stopped: true });
  });

  test("a cancel call that fails on the server falls back to the older way", async () => {
    await using stage = await setup();
    stage.script.routes[CANCEL] = () => ({ status: 500, text: "500 Internal Server Error" });
    interruptable(stage);
    stage.script.running = [mine];
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 10_000 })).toMatchObject({ stopped: true });
  });

  test("a prompt that begins to run while it is being deleted is interrupted", async () => {
    await using stage = await setup();
    stage.script.version = "0.3.64";
    interruptable(stage);
    stage.script.pending = [mine];
    stage.script.routes["POST /queue"] = () => {
      stage.script.running = stage.script.pending.splice(0);
      return {};
    };
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 10_000 })).toMatchObject({ stopped: true });
    expect(stage.server.seen("POST", "/interrupt")).toHaveLength(1);
  });

  test("every copy of an id that was queued twice is stopped", async () => {
    await using stage = await setup();
    stage.script.running = [mine];
    stage.script.pending = [mine];
    stage.script.routes[CANCEL] = () => {
      if (stage.script.running.length > 0) stage.script.running = [];
      else stage.script.pending = [];
      return { json: { cancelled: true } };
    };
    stage.script.history.set(PROMPT_ID, successEntry(mine, {})); // of the first copy
    expect(await stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 10_000 })).toMatchObject({ stopped: true });
    expect([...stage.script.running, ...stage.script.pending]).toEqual([]);
  });

  test("an outage meanwhile is borne until the deadline, then told", async () => {
    await using stage = await setup();
    stage.script.routes["GET /queue"] = () => "reset";
    await expect(stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 300 })).rejects.toMatchObject({ code: "unreachable" });
  });

  test("an aborted signal throws its own reason", async () => {
    await using stage = await setup();
    stage.script.running = [mine];
    stage.script.routes[CANCEL] = () => ({ json: { cancelled: false } });
    const stop = new AbortController();
    const cancelled = stage.comfyui.cancel(PROMPT_ID, { deadlineMs: 60_000, signal: stop.signal });
    await until(() => stage.server.requests.some(({ path }) => path.endsWith("/cancel")));
    stop.abort(new Error("shutting down"));
    await expect(cancelled).rejects.toThrow("shutting down");
  });
});
