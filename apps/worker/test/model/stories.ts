import { JobErrorCode } from "@comfyq/contract";
import fc from "fast-check";
import { type Event, HOUSE_EVENTS, happen, INSTANCE_EVENTS, WORKER_EVENTS } from "./events.ts";
import type { Parts } from "./parts.ts";
import type { Breach } from "./promises.ts";
import { type Fate, STAGES } from "./state.ts";
import { createWorld, quiesce, runAll, type Setup } from "./world.ts";

export interface Story {
  readonly setup: Setup;
  readonly events: readonly Event[];
}

/** These come of what happens around a job, not of the job. */
const OF_THE_HOUSE: readonly JobErrorCode[] = [
  "canceled",
  "expired",
  "poison",
  "timeout",
  "stalled",
  "prompt_lost",
  "comfyui_zombie",
  "comfyui_unreachable",
];
const OF_A_JOB = JobErrorCode.options.filter((code) => !OF_THE_HOUSE.includes(code));
const OF_A_RENDER: readonly Fate[] = ["ok", "node_failed", "out_of_gpu_memory", "cuda_fault", "interrupted"];

/** The names in one of the tables of events. */
function namesOf<T extends object>(table: T): fc.Arbitrary<keyof T & string> {
  return fc.constantFrom(...(Object.keys(table) as (keyof T & string)[])); // our own literal: no other keys
}

const at = fc.nat({ max: 5 });
const frozenFor = fc.oneof(fc.nat({ max: 15_000 }), fc.constant(Number.MAX_SAFE_INTEGER));
const fate = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Fate>("ok") },
  { weight: 1, arbitrary: fc.constantFrom<Fate[]>("kills_worker", "kills_comfyui", "silence", "endless") },
  { weight: 1, arbitrary: fc.constantFrom<Fate[]>(...OF_A_JOB) },
);
const submit = fc.record({
  submit: fc.record({
    nature: fc.record({ fate, times: fc.constantFrom(1, 2, 3, 99) }),
    maxAttempts: fc.integer({ min: 1, max: 3 }),
    expiresInMs: fc.option(fc.integer({ min: 1_000, max: 30_000 }), { nil: undefined, freq: 4 }),
  }),
});
const event = fc.oneof<fc.MaybeWeightedArbitrary<Event>[]>(
  { weight: 12, arbitrary: fc.record({ tickMs: fc.oneof(fc.nat({ max: 2_000 }), fc.nat({ max: 15_000 })) }) },
  { weight: 4, arbitrary: submit },
  { weight: 10, arbitrary: fc.record({ worker: namesOf(WORKER_EVENTS), at }) },
  {
    weight: 3,
    arbitrary: fc.record({
      worker: fc.constantFrom("crash", "freeze"),
      at,
      stage: fc.constantFrom(...STAGES),
      forMs: frozenFor,
    }),
  },
  { weight: 3, arbitrary: fc.record({ comfyui: namesOf(INSTANCE_EVENTS), at }) },
  { weight: 2, arbitrary: fc.record({ renderEnds: fc.constantFrom(...OF_A_RENDER), at }) },
  { weight: 2, arbitrary: fc.record({ cancel: at }) },
  { weight: 2, arbitrary: fc.record({ house: namesOf(HOUSE_EVENTS) }) },
);

/** A story begins with a job, so that its faults have somebody to befall. */
export const story: fc.Arbitrary<Story> = fc
  .record({
    setup: fc.record({
      gpus: fc.integer({ min: 1, max: 3 }),
      spare: fc.constantFrom(0, 0, 1),
      isLoopback: fc.boolean(),
      canRestart: fc.boolean(),
      dice: fc.nat({ max: 1_000 }),
    }),
    first: submit,
    events: fc.array(event, { maxLength: 40, size: "max" }),
  })
  .map(({ setup, first, events }) => ({ setup, events: [first, ...events] }));

export interface Life {
  /** Every promise that was broken, in order. */
  readonly breaches: readonly Breach[];
  /** What happened to jobs, workers and instances, and how often. */
  readonly seen: ReadonlyMap<string, number>;
}

/** Lives through a story and what comes after it. */
export function live({ setup, events }: Story, parts: Parts): Life {
  const world = createWorld(setup, parts);
  runAll(world);
  for (const one of events) happen(world, one);
  quiesce(world);
  return world.promises;
}
