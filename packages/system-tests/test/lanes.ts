import type { NewJobBody } from "@comfyq/contract";
import type { System } from "./setup.ts";

/** One pair of instances, for one test at a time; its workers are those at `first` and `second` of the system. */
export interface Lane {
  readonly first: number;
  readonly second: number;
}

/** Runs a test on a pair that nobody else uses, waiting for one to be free. Its workers are stopped afterwards. */
export type OnLane = <T>(run: (lane: Lane) => Promise<T>) => Promise<T>;

/** Deals the instances of a system out in pairs, so that tests which mostly wait can wait side by side. */
export function openLanes(system: System): OnLane {
  const free = system.instances
    .filter((_, at) => at % 2 === 0)
    .map((_, lane): Lane => ({ first: lane * 2, second: lane * 2 + 1 }));
  const waiting: ((lane: Lane) => void)[] = [];
  return async (run) => {
    const lane = free.pop() ?? (await new Promise<Lane>((resolve) => waiting.push(resolve)));
    try {
      return await run(lane);
    } finally {
      const pair = [system.workers[lane.first], system.workers[lane.second]].filter((worker) => worker !== undefined);
      await Promise.all(pair.map((worker) => worker.stop("SIGTERM")));
      const next = waiting.shift();
      if (next) next(lane);
      else free.push(lane);
    }
  };
}

/** A job that renders for so long, in steps that can be interrupted, and saves two files; never from a cache. */
export function timedJob(ms: number, body: Partial<NewJobBody> = {}): NewJobBody {
  const seed = Math.floor(Math.random() * 2 ** 40);
  return {
    workflow: {
      "1": { class_type: "SimSleep", inputs: { ms, steps: Math.ceil(ms / 50), value: String(seed) } },
      "2": {
        class_type: "SimOutput",
        inputs: { bytes: 5_000, seed, count: 2, input: ["1", 0], filename_prefix: "out" },
      },
    },
    ...body,
  };
}
