import fc from "fast-check";
import { expect, test } from "vitest";
import { REAL } from "./parts.ts";
import { live, story } from "./stories.ts";
import { TOLD } from "./toldStories.ts";

/** A run that failed is repeated with the seed that it printed. */
const SEED = Number(process.env["COMFYQ_MODEL_SEED"] ?? Date.now() % 2 ** 31);
const RUNS = Number(process.env["COMFYQ_MODEL_RUNS"] ?? 10_000);

/** What at least one story has to come to, or the model proves nothing about it. */
const CORNERS = [
  "succeeded",
  "failed",
  "canceled",
  "expired",
  "failed by poison",
  "failed by timeout",
  "failed by stalled",
  "failed by out_of_gpu_memory",
  "declined home",
  "declined elsewhere",
  "given back",
  "tried again",
  "rejoined",
  "found its manifest",
  "lost its lock",
  "fenced",
  "quarantined",
  "restarted by command",
  "driven by its spare",
];

test("whatever happens in whatever order, every promise is kept", { timeout: 600_000 }, () => {
  let stories = 0;
  let events = 0;
  const corners = new Map<string, number>();
  const property = fc.property(story, (one) => {
    stories += 1;
    events += one.events.length;
    const { breaches, seen } = live(one, REAL);
    for (const [corner, times] of seen) corners.set(corner, (corners.get(corner) ?? 0) + times);
    const [first] = breaches;
    if (first) throw new Error(`${first.id} is broken after ${first.atMs} ms: ${first.what}`);
  });
  const startedAtMs = performance.now();
  try {
    fc.assert(property, { seed: SEED, numRuns: RUNS });
  } finally {
    const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
    console.log(
      `${stories} stories, ${(events / stories).toFixed(1)} events each, in ${seconds} s; COMFYQ_MODEL_SEED=${SEED}`,
    );
    console.log(
      [...corners]
        .map(([corner, times]) => `${corner}: ${times}`)
        .sort()
        .join(", "),
    );
  }
  for (const corner of CORNERS) expect(corners.get(corner), `no story came to: ${corner}`).toBeGreaterThan(0);
});

test.each(TOLD)("no more: %s", (_symptom, told) => {
  expect(live(told, REAL).breaches).toEqual([]);
});
