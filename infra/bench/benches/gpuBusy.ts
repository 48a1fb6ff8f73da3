import type { Bench, Effort } from "../harness/bench.ts";
import type { Measured } from "../harness/report.ts";
import { rounded, spread } from "../harness/statistics.ts";
import { type Busy, busyWith } from "../rig/busy.ts";
import { mbit, openRig, type RigOptions } from "../rig/rig.ts";
import { type Load, submitMany } from "../rig/work.ts";

interface Workload {
  readonly load: Load;
  readonly execMs: number;
  readonly lineMbit: number;
  readonly gpus: number;
  readonly jobs: number;
  /** Of each GPU's first prompts: run, not counted. */
  readonly warmUp: number;
}

const LONG: Workload = {
  load: { inputBytes: 5_000_000, outputBytes: 20_000_000 },
  execMs: 2_000,
  lineMbit: 100,
  gpus: 1,
  jobs: 40,
  warmUp: 0,
};
const SHORT: Workload = {
  load: { inputBytes: 20_000, outputBytes: 300_000 },
  execMs: 200,
  lineMbit: 10_000,
  gpus: 1,
  jobs: 200,
  warmUp: 20,
};

/** A worker that does one thing after the other takes so much longer that a part of the jobs must do. */
const NAIVE_SHARE = 0.2;

interface Drained {
  readonly busy: readonly Busy[];
  readonly wallMs: number;
}

/** Jobs that all wait when the workers start; drained. */
async function drain(workload: Workload, options: RigOptions): Promise<Drained> {
  const { load, execMs, lineMbit, gpus, jobs, warmUp } = workload;
  await using rig = await openRig({
    workers: gpus,
    startWorkers: false,
    simulatorArgs: ["--exec-ms", String(execMs), "--no-previews"],
    lineBytesPerSecond: mbit(lineMbit) * gpus,
    receiverAnswersAfterMs: 50,
    ...options,
  });
  const ids = await submitMany(rig, jobs + warmUp * gpus, load);
  await Promise.all(rig.system.instances.map((_, at) => rig.system.restartWorker(at)));
  await rig.receiver.untilTold(ids);
  const busy = await busyWith(rig, ids, warmUp);
  const wallMs = Math.max(...busy.map((gpu) => gpu.lastEndAtMs)) - Math.min(...busy.map((gpu) => gpu.firstStartAtMs));
  return { busy, wallMs };
}

async function naiveShare(workload: Workload, withNaive: boolean): Promise<{ naive?: number }> {
  if (!withNaive) return {};
  const jobs = Math.max(3, Math.round(workload.jobs * NAIVE_SHARE));
  const { busy } = await drain({ ...workload, jobs, warmUp: Math.min(workload.warmUp, 5) }, { isNaive: true });
  return { naive: rounded(leastShare(busy), 4) };
}

const leastShare = (busy: readonly Busy[]): number => Math.min(...busy.map(({ share }) => share));

function quickened(workload: Workload, { isQuick }: Effort): Workload {
  const load = { inputBytes: 10_000, outputBytes: 10_000 };
  return isQuick ? { ...workload, load, jobs: 4 * workload.gpus, warmUp: 0, execMs: 100 } : workload;
}

async function measure(workload: Workload, effort: Effort, atLeast: number): Promise<Measured> {
  const wanted = quickened(workload, effort);
  const { busy } = await drain(wanted, {});
  const gapsMs = busy.flatMap((gpu) => gpu.gapsMs);
  return {
    checks: [{ name: "busy", value: leastShare(busy), atLeast }],
    baseline: "1: a GPU that never waits",
    n: busy.reduce((sum, { n }) => sum + n, 0),
    ...spread(gapsMs),
    ...(await naiveShare(wanted, effort.withNaive)),
    details: { p50_p99_of: "gap between two renders, ms" },
  };
}

export const gpuBusy: Bench = {
  id: "B1",
  what: "GPU busy: 2 s renders, 5 MB in, 20 MB out, 100 Mbit/s each way",
  run: (effort) => measure(LONG, effort, 0.995),
};

export const gpuBusyShort: Bench = {
  id: "B1b",
  what: "GPU busy: 200 ms renders, 20 KB in, 300 KB out, 10 Gbit/s",
  run: (effort) => measure(SHORT, effort, 0.97),
};

export const fourGpus: Bench = {
  id: "B1c",
  what: "least busy of four GPUs with the jobs of B1, and wall time by ideal",
  run: async (effort) => {
    const workload = quickened({ ...LONG, gpus: 4, jobs: 160 }, effort);
    const { busy, wallMs } = await drain(workload, {});
    const idealMs = (workload.jobs / workload.gpus) * workload.execMs;
    return {
      checks: [
        { name: "least_busy", value: leastShare(busy), atLeast: 0.98 },
        { name: "wall_by_ideal", value: wallMs / idealMs, atMost: 1.03 },
      ],
      baseline: `ideal wall ${idealMs} ms`,
      n: busy.reduce((sum, { n }) => sum + n, 0),
      ...spread(busy.flatMap((gpu) => gpu.gapsMs)),
      details: { p50_p99_of: "gap between two renders, ms", wall_ms: Math.round(wallMs) },
    };
  },
};
