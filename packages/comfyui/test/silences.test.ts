import { describe, expect, test } from "vitest";
import type { PromptFrame } from "../src/frames.ts";
import type { NodeStarted } from "../src/index.ts";
import { applyFrame, startProgress } from "../src/progress.ts";
import { createSilences } from "../src/silences.ts";
import { PROMPT_ID, setup } from "./support/comfyScript.ts";
import { frames, underWay, watch } from "./support/watching.ts";

const GRAPH = {
  classes: new Map([
    ["1", "Loader"],
    ["2", "Sampler"],
  ]),
  needed: new Set(["1", "2"]),
};

const start: PromptFrame = { type: "execution_start", data: { prompt_id: PROMPT_ID } };
const gap: PromptFrame = { type: "gap" };
const executing = (node: string): PromptFrame => ({
  type: "executing",
  data: { node, display_node: node, prompt_id: PROMPT_ID },
});
const step = (node: string, value: number): PromptFrame => ({
  type: "progress",
  data: { node, value, max: 9, prompt_id: PROMPT_ID },
});
const states = (node: string, state: "running" | "finished"): PromptFrame => ({
  type: "progress_state",
  data: {
    prompt_id: PROMPT_ID,
    nodes: {
      [node]: {
        value: 0,
        max: 1,
        state,
        node_id: node,
        prompt_id: PROMPT_ID,
        display_node_id: node,
        parent_node_id: null,
        real_node_id: node,
      },
    },
  },
});

/** Gives the frames, each at its moment in ms, and returns the longest silence of both nodes. */
function silencesOf(...heard: readonly (readonly [number, PromptFrame])[]) {
  const silences = createSilences();
  let progress = startProgress(GRAPH);
  for (const [atMs, frame] of heard) {
    const after = applyFrame(progress, frame);
    silences.add(frame, atMs, { before: progress.current?.nodeId, after: after.current?.nodeId });
    progress = after;
  }
  return [silences.longestMs("1"), silences.longestMs("2")];
}

describe("the silence of a node", () => {
  test("lasts from its start, or its last frame, to the next frame", () => {
    const whole = silencesOf(
      [0, start],
      [10, executing("1")],
      [5_010, executing("2")],
      [5_020, step("2", 1)],
      [5_120, step("2", 2)],
      [5_140, states("2", "finished")],
    );
    expect(whole).toEqual([5_000, 100]);
  });

  test("is counted from its start on servers that send its state first", () => {
    const whole = silencesOf([0, start], [0, states("1", "running")], [1, executing("1")], [701, step("1", 1)]);
    expect(whole).toEqual([700, undefined]);
  });

  test("is not known of a node that was at work when we began to listen, but of the next one", () => {
    expect(silencesOf([0, step("1", 3)], [900, executing("2")], [950, step("2", 1)])).toEqual([undefined, 50]);
  });

  test("is not known of a node during whose work the socket was lost", () => {
    const cut = silencesOf(
      [0, executing("1")],
      [1, gap],
      [90_000, step("1", 3)],
      [90_010, executing("2")],
      [90_040, step("2", 1)],
    );
    expect(cut).toEqual([undefined, 30]);
  });
});

describe("a watch", () => {
  test("tells the longest silence of each node that has ended, once", async () => {
    await using stage = await setup();
    await stage.submit();
    const told: NodeStarted[] = [];
    const spans: number[] = [];
    const watched = watch(stage.comfyui, {
      onSilence: (node, longestMs) => {
        told.push(node);
        spans.push(longestMs);
      },
    });
    await underWay(stage);
    const { start, cachedNone, executed, success } = frames;
    for (const frame of [start, cachedNone, frames.executing("1"), frames.executing("2"), executed, success])
      stage.server.send(frame);
    await stage.server.sockets[0]?.flushed();
    stage.script.finish();
    await watched;
    expect(told).toEqual([
      { node_id: "1", class_type: "EmptyImage" },
      { node_id: "2", class_type: "SaveImage" },
    ]);
    expect(spans.every((longestMs) => longestMs >= 0)).toBe(true);
  });

  test("may ask for its patience at each look, by the node that is at work", async () => {
    await using stage = await setup();
    await stage.submit();
    const asked: (NodeStarted | undefined)[] = [];
    const watched = watch(stage.comfyui, {
      stallMs: (node) => {
        asked.push(node);
        return node?.class_type === "SaveImage" ? 1 : 60_000;
      },
    });
    await underWay(stage);
    stage.server.send(frames.executing("1"));
    await stage.server.sockets[0]?.flushed();
    await underWay(stage);
    await underWay(stage);
    stage.server.send(frames.executing("2"));
    await expect(watched).rejects.toMatchObject({ code: "stalled", facts: { stuckNode: { node_id: "2" } } });
    expect(asked).toContainEqual({ node_id: "1", class_type: "EmptyImage" });
  });
});
