import type { Bench, Effort } from "../harness/bench.ts";
import type { Measured } from "../harness/report.ts";
import { quantile, rounded, spread } from "../harness/statistics.ts";
import { openRig, type Rig } from "../rig/rig.ts";
import { bodyOf } from "../rig/work.ts";

const LOAD = { inputBytes: 0, outputBytes: 20_000 };
const TARGET_MS = 50;

/** One job on an idle system. @returns ms from its end, as the job says it, to the first byte at the receiver */
async function latencyOf(rig: Rig): Promise<number> {
  const { id } = await rig.system.submit(bodyOf(rig, LOAD));
  await rig.receiver.untilTold([id]);
  const { completed_at } = await rig.system.until(id, ({ status }) => status === "succeeded");
  const arrivedAtMs = rig.receiver.arrivedAtMs.get(id) ?? Number.NaN;
  return performance.timeOrigin + arrivedAtMs - Date.parse(completed_at ?? "");
}

async function run({ isQuick }: Effort): Promise<Measured> {
  await using rig = await openRig({ hasS3: false, simulatorArgs: ["--exec-ms", "20", "--no-previews"] });
  const [warmUp, jobs] = isQuick ? [1, 5] : [20, 500];
  for (let at = 0; at < warmUp; at += 1) await latencyOf(rig);
  const samplesMs: number[] = [];
  for (let at = 0; at < jobs; at += 1) samplesMs.push(await latencyOf(rig));
  return {
    checks: [{ name: "p99_ms", value: rounded(quantile(samplesMs, 0.99), 1), atMost: TARGET_MS }],
    baseline: "the moment that the job says it ended",
    n: jobs,
    ...spread(samplesMs),
  };
}

export const webhookLatency: Bench = {
  id: "B13",
  what: "ms from the end of a job to its webhook at the receiver, one job at a time",
  run,
};
