import type { Bench, Effort } from "../harness/bench.ts";
import type { Measured } from "../harness/report.ts";
import { rounded } from "../harness/statistics.ts";
import { busyWith } from "../rig/busy.ts";
import { peakMb } from "../rig/resident.ts";
import { mbit, openRig, type RigOptions } from "../rig/rig.ts";
import { submitMany } from "../rig/work.ts";

const EXEC_MS = 500;
const LINE_MBIT = 100;
const LOAD = { inputBytes: 0, outputBytes: 20_000_000 };
interface Achieved {
  readonly jobsPerSecond: number;
  readonly mostRssMb: number;
  /** Jobs that were rendered and not told of, at the end of the last render. */
  readonly stillStoring: number;
}

async function drain(jobs: number, options: RigOptions): Promise<Achieved> {
  await using rig = await openRig({
    startWorkers: false,
    simulatorArgs: ["--exec-ms", String(EXEC_MS), "--no-previews"],
    lineBytesPerSecond: mbit(LINE_MBIT),
    ...options,
  });
  const ids = await submitMany(rig, jobs, LOAD);
  const worker = await rig.system.restartWorker(0);
  await rig.receiver.untilTold(ids);
  const mostRssMb = peakMb(worker.pid);
  const told = ids.map((id) => rig.receiver.arrivedAtMs.get(id) ?? 0);
  const [busy] = await busyWith(rig, ids, 0);
  const { firstEndAtMs = 0, lastEndAtMs = 0 } = busy ?? {};
  const lastRenderAtMs = lastEndAtMs - performance.timeOrigin;
  return {
    // From the moment there was something to send, to the last word that all of it was kept.
    jobsPerSecond: (jobs * 1_000) / (Math.max(...told) + performance.timeOrigin - firstEndAtMs),
    mostRssMb,
    stillStoring: told.filter((atMs) => atMs > lastRenderAtMs).length,
  };
}

async function run({ isQuick, withNaive }: Effort): Promise<Measured> {
  const bound = mbit(LINE_MBIT) / LOAD.outputBytes;
  const jobs = isQuick ? 3 : 40;
  const achieved = await drain(jobs, {});
  const naive = withNaive
    ? { naive: rounded((await drain(Math.ceil(jobs / 5), { isNaive: true })).jobsPerSecond / bound, 4) }
    : {};
  return {
    checks: [{ name: "of_line", value: achieved.jobsPerSecond / bound, atLeast: 0.95 }],
    baseline: `the line: ${rounded(bound, 3)} jobs/s`,
    n: jobs,
    ...naive,
    details: {
      worker_peak_rss_mb: Math.round(achieved.mostRssMb),
      still_storing_at_last_render: achieved.stillStoring,
    },
  };
}

export const ioBound: Bench = {
  id: "B2",
  what: "jobs per second when the line is the limit: 500 ms renders, 20 MB out, 100 Mbit/s",
  run,
};
