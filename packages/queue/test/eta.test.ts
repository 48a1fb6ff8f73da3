import { Manifest } from "@comfyq/contract";
import { expect, test } from "vitest";
import { guessEndSeconds, guessRestSeconds } from "../src/guessEnd.ts";
import { moveFirst } from "../src/scripts.ts";
import { shapeOf } from "../src/shapeOf.ts";
import { beatAs, claimOne, GRAPH, manifestFor, type Setup, setup } from "./setup.ts";

const spans = (seconds: number) => ({ renderMs: seconds * 1_000, totalMs: seconds * 1_000 });
const SLOW = { "1": { class_type: "SlowNode", inputs: {} } };

/** Lets one job of this workflow run, which takes so long. */
async function run(house: Setup, workflow: typeof GRAPH | typeof SLOW, seconds: number): Promise<void> {
  const claimer = await house.claimer();
  await house.submit({ workflow });
  const held = await claimOne(claimer);
  const metrics = { prepare_ms: 0, render_ms: seconds * 1_000, store_ms: 0 };
  await held.end({ kind: "succeeded", manifest: Manifest.parse({ ...manifestFor(held), metrics }) });
}

const read = async (house: Setup, id: string) => {
  const job = await house.producer.read("default", id);
  return { position: job?.queue_position, eta: job?.eta_s };
};

test("eta_s is learned from jobs of the same shape, and of any shape where there were none", async () => {
  await using house = await setup();
  await run(house, GRAPH, 10);
  await run(house, SLOW, 100); // mean 10 × 0.8 + 100 × 0.2 = 28
  await beatAs(await house.claimer(), "w1");
  expect(await read(house, await house.submit({ workflow: GRAPH }))).toEqual({ position: 1, eta: 10 });
  expect(await read(house, await house.submit({ workflow: SLOW }))).toEqual({ position: 2, eta: 128 });
  const other = { "1": { class_type: "Other", inputs: {} } };
  expect(await read(house, await house.submit({ workflow: other }))).toEqual({ position: 3, eta: 84 });
});

test("an answer to a submission says of position and eta_s what a read says", async () => {
  await using house = await setup();
  await run(house, GRAPH, 10);
  await beatAs(await house.claimer(), "w1");
  await house.submit();
  const id = "00000000-0000-7000-8000-000000000001";
  const job = { ...(await submittable(house)), pool: "default" };
  const { facts } = await house.producer.submit({ id, tenant: "default", job, bodySha256: "0".repeat(64) });
  const now = await house.producer.read("default", id);
  expect([facts?.queue_position, facts?.eta_s]).toEqual([now?.queue_position, now?.eta_s]);
  expect(facts?.eta_s).toBe(20);
});

async function submittable(house: Setup) {
  const submitted = await house.producer.submitted("default", await house.submit({ pool: "elsewhere" }));
  if (!submitted) throw new Error("a job that was just submitted can be read");
  return submitted.job;
}

test("workers of other pools, and those that take no jobs, do not count for eta_s", async () => {
  await using house = await setup();
  await run(house, GRAPH, 10);
  const claimer = await house.claimer();
  const id = await house.submit();
  await beatAs(claimer, "elsewhere", { pool: "other" });
  await beatAs(claimer, "away", { state: "unready" });
  expect((await read(house, id)).eta).toBeNull();
  await beatAs(claimer, "here");
  expect((await read(house, id)).eta).toBe(10);
  await beatAs(claimer, "here", { state: "draining" });
  expect((await read(house, id)).eta).toBeNull();
});

test("queue_position counts whoever goes before: higher priorities, and what was moved before all", async () => {
  await using house = await setup();
  const claimer = await house.claimer();
  const ids = [await house.submit(), await house.submit({ priority: 5 }), await house.submit(), await house.submit()];
  const positions = () => Promise.all(ids.map(async (id) => (await read(house, id)).position));
  expect(await positions()).toEqual([2, 1, 3, 4]);
  await moveFirst(claimer.room.redis, claimer.room.names, "default", [ids[3] ?? "", ids[2] ?? ""]);
  expect(await positions()).toEqual([4, 3, 2, 1]);
});

test("a running job's eta_s is what is left of such a job, and unknown once it takes longer", async () => {
  await using house = await setup();
  await run(house, GRAPH, 1_000);
  const claimer = await house.claimer();
  const id = await house.submit();
  const held = await claimOne(claimer);
  const eta = (await read(house, id)).eta ?? 0;
  expect(eta).toBeGreaterThan(0);
  expect(eta).toBeLessThanOrEqual(1_000);
  await held.journal({ started_at: new Date(Date.now() - 2_000_000).toISOString() });
  expect((await read(house, id)).eta).toBeNull();
});

test("the guess: those before it on all workers, half of what renders now, and its own time", () => {
  const pace = { own: spans(4), mean: spans(10), workers: 2, active: 2 };
  expect(guessEndSeconds(1, pace)).toBe(9); // half of 10 to wait, and its own 4
  expect(guessEndSeconds(3, pace)).toBe(19);
  expect(guessEndSeconds(1, { ...pace, active: 1 })).toBe(4); // somebody is free
  expect(guessEndSeconds(1, { ...pace, own: undefined })).toBe(15);
  expect(guessEndSeconds(1, { ...pace, workers: 0 })).toBeNull();
  expect(guessEndSeconds(1, { ...pace, mean: undefined })).toBeNull();
  expect(guessRestSeconds(1_000, pace)).toBe(3);
  expect(guessRestSeconds(5_000, pace)).toBeNull();
});

test("a workflow's shape is its classes and links, whatever its values", () => {
  const graph = (seed: number, from: string) => ({
    "1": { class_type: "A", inputs: { seed } },
    "2": { class_type: "B", inputs: { images: [from, 0], text: "x" } },
  });
  expect(shapeOf(graph(1, "1"))).toBe(shapeOf(graph(2, "1")));
  expect(shapeOf(graph(1, "1"))).not.toBe(shapeOf(graph(1, "3")));
  expect(shapeOf(GRAPH)).not.toBe(shapeOf(SLOW));
});
