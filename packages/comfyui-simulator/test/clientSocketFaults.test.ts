import { randomUUID } from "node:crypto";
import type { NodeOutputs } from "@comfyq/comfyui";
import { describe, expect, test } from "vitest";
import type { Fault, Stage } from "../src/index.ts";
import { executions, graph, pair, render, saving, sleeping } from "./clientSetup.ts";
import { eventually, picture, slow } from "./setup.ts";

/*
 * Our own client against this server, whose websocket fails in every way: polling finishes the prompt. The numbers are those
 * of the fault matrix (reference/faults.md §2.3).
 */

describe("fault 19: the websocket drops, or never connects", () => {
  const stages: readonly Stage[] = [
    "connected",
    "queued",
    "execution_start",
    "executing",
    "progress",
    "executed",
    "execution_success",
    "done",
  ];

  test.each(stages)("dropped at %s: polling finishes the prompt, and every output is told once", async (at) => {
    const both = await pair({ faults: [{ kind: "ws_drop", at }] });
    const told: NodeOutputs[] = [];
    const { outputs } = await render(both, {
      workflow: graph({ ...slow(60, 3), ...saving }),
      watch: { onOutput: (node) => told.push(node) },
    });
    expect(outputs.files).toHaveLength(1);
    expect(told.map(({ node_id }) => node_id).sort()).toEqual(["2", "4"]);
    expect(executions(both)).toEqual([1]);
  });

  test.each(["ws_refuse", "ws_hang"] as const)("%s: it never connects", async (kind) => {
    const both = await pair({ faults: [{ kind, times: 1_000 }] });
    expect((await render(both)).outputs.files).toHaveLength(1);
    expect(both.simulator.stats().websockets.opened).toBe(0);
  });
});

describe("the socket is open and nothing comes", () => {
  const silences: readonly (readonly [string, Fault])[] = [
    ["fault 20: half-open, without a FIN, frames or pongs", { kind: "ws_silent", at: "execution_start" }],
    ["fault 21: muted, as by the end of an older socket with the same id", { kind: "ws_mute", at: "execution_start" }],
    ["fault 22: the server sends nobody anything", { kind: "frames_stop", at: "execution_start" }],
  ];

  test.each(silences)("%s: polling finishes the prompt", async (_, fault) => {
    const both = await pair({ faults: [fault] });
    const { outputs } = await render(both, {
      workflow: graph({ ...slow(300, 3), ...saving }),
      watch: { stallMs: 60_000 },
    });
    expect(outputs.files).toHaveLength(1);
    expect(executions(both)).toEqual([1]);
  });

  test("fault 20: the half-open socket is replaced under a new id", async () => {
    const both = await pair({ faults: [{ kind: "ws_silent", at: "execution_start" }] });
    const { promptId } = await both.comfyui.submit({ promptId: randomUUID(), workflow: sleeping() });
    await eventually(
      () => both.events.filter(({ type }) => type === "socket_open"),
      (opened) => opened.length === 2,
    );
    const ids = both.events.flatMap((event) => (event.type === "socket_open" ? [event.clientId] : []));
    expect(new Set(ids).size).toBe(2);
    await both.comfyui.cancel(promptId, { deadlineMs: 60_000 });
  });

  test("fault 21: a socket that was muted hears the next prompt", async () => {
    const both = await pair({ faults: [{ kind: "ws_mute", at: "done" }] });
    await render(both);
    await render(both, { workflow: graph(picture(2)) }); // no status follows its submission: the socket is replaced
    await eventually(
      () => both.events.filter(({ type }) => type === "socket_open"),
      (opened) => opened.length === 2,
    );
    const nodes: string[] = [];
    await render(both, {
      workflow: graph({ ...slow(300, 3), ...saving }),
      watch: { onNode: ({ node_id }) => nodes.push(node_id) },
    });
    expect(nodes).toContain("1");
  });
});
