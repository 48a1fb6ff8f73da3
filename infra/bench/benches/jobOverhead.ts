import type { Bench, Effort } from "../harness/bench.ts";
import { interleave } from "../harness/interleave.ts";
import type { Measured } from "../harness/report.ts";
import { medianRatio, quantile, rounded, spread } from "../harness/statistics.ts";
import { type HttpLine, openLine, submitBy } from "../rig/httpLine.ts";
import { openRawBull, type RawBull } from "../rig/raw.ts";
import { openRig, promptsOf, type Rig, unixMs } from "../rig/rig.ts";
import { bodyOf } from "../rig/work.ts";

const RENDER_MS = 100;
/** Both a little more than the least that a PNG of this kind can be. */
const LOAD = { inputBytes: 1_024, outputBytes: 4_096 };

/** From the call to the webhook, minus what the GPU took, in ms. */
async function oneJob(rig: Rig, line: HttpLine): Promise<number> {
  const calledAtMs = unixMs();
  const { id } = await submitBy(line, bodyOf(rig, LOAD));
  await rig.receiver.untilTold([id]);
  const tookMs = (rig.receiver.arrivedAtMs.get(id) ?? 0) + performance.timeOrigin - calledAtMs;
  const prompt = (await promptsOf(rig.system.instances[0])).find(({ job }) => job === id);
  return tookMs - (prompt?.busyMs ?? RENDER_MS);
}

/** From the call to the event of the end, minus the same timer, in ms. */
async function oneRawJob(raw: RawBull): Promise<number> {
  const calledAtMs = unixMs();
  await raw.addAndWait({ ms: RENDER_MS });
  return unixMs() - calledAtMs - RENDER_MS;
}

async function run({ isQuick }: Effort): Promise<Measured> {
  await using rig = await openRig({ simulatorArgs: ["--exec-ms", String(RENDER_MS), "--no-previews"] });
  await using raw = await openRawBull(rig.system.redis.url, { hasWorker: true });
  const line = await openLine(rig.system.url);
  const [warmUp, pairs] = isQuick ? [1, 3] : [60, 150];
  const all = await interleave(
    warmUp + pairs,
    () => oneJob(rig, line),
    () => oneRawJob(raw),
  );
  line.close();
  const measured = all.slice(warmUp); // code that has not run yet is slow, and says nothing of the day
  const overheadsMs = measured.map(({ subject }) => subject);
  const rawMs = measured.map(({ baseline }) => baseline);
  return {
    checks: [
      { name: "overhead_ms", value: quantile(overheadsMs, 0.5), atMost: 40 },
      { name: "by_raw", value: medianRatio(measured), atMost: 12 },
    ],
    baseline: `raw BullMQ, add to event of the end: p50 ${rounded(quantile(rawMs, 0.5), 2)} ms`,
    n: measured.length,
    ...spread(overheadsMs),
  };
}

export const jobOverhead: Bench = {
  id: "B3",
  what: "what one job costs beside its render: call to webhook, 100 ms renders, an idle system",
  run,
};
