import type { Bench, Effort } from "../harness/bench.ts";
import { interleave } from "../harness/interleave.ts";
import type { Measured } from "../harness/report.ts";
import { median, medianRatio, rounded } from "../harness/statistics.ts";
import { busyWith } from "../rig/busy.ts";
import { mbit, openRig } from "../rig/rig.ts";
import { submitMany } from "../rig/work.ts";

const LOAD = { inputBytes: 20_000, outputBytes: 300_000 };
const SLOW_MS = 10_000;

/** How busy the GPU was with so many jobs, all of them waiting when the worker starts; the receiver answers when it answers. */
async function leg(jobs: number, warmUp: number, answerAfterMs: number): Promise<number> {
  await using rig = await openRig({
    startWorkers: false,
    simulatorArgs: ["--exec-ms", "200", "--no-previews"],
    lineBytesPerSecond: mbit(10_000),
    receiverAnswersAfterMs: answerAfterMs,
  });
  const ids = await submitMany(rig, jobs + warmUp, LOAD);
  await rig.system.restartWorker(0);
  await Promise.all(ids.map((id) => rig.system.until(id, ({ status }) => status === "succeeded")));
  return (await busyWith(rig, ids, warmUp))[0]?.share ?? 0;
}

async function run({ isQuick }: Effort): Promise<Measured> {
  const [pairs, jobs, warmUp] = isQuick ? [1, 4, 0] : [2, 70, 15];
  const measured = await interleave(
    pairs,
    () => leg(jobs, warmUp, SLOW_MS),
    () => leg(jobs, warmUp, 0),
  );
  const fast = median(measured.map(({ baseline }) => baseline));
  return {
    checks: [{ name: "slow_by_fast", value: medianRatio(measured), atLeast: 0.99 }],
    baseline: `busy with a receiver that answers at once: ${rounded(fast, 4)}`,
    n: jobs * pairs,
  };
}

export const slowWebhook: Bench = {
  id: "B6",
  what: "GPU busy beside a webhook receiver that answers after 10 s, by a fast one",
  run,
};
