import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Effort } from "../harness/bench.ts";
import type { Measured } from "../harness/report.ts";
import { median, quantile, rounded, spread } from "../harness/statistics.ts";
import { openLine, submitBy } from "../rig/httpLine.ts";
import { openRawBull } from "../rig/raw.ts";
import { openRig, promptsOf, unixMs } from "../rig/rig.ts";
import { bodyOf } from "../rig/work.ts";

const APART_MS = 50;
const LOAD = { inputBytes: 0, outputBytes: 4_096 };
/** Ratios are taken within so many blocks, and their median counts. */
const BLOCKS = 5;

interface Waits {
  readonly ours: readonly number[];
  readonly raw: readonly number[];
}

/** One of ours, one of BullMQ's, one of ours…: each meets an idle worker. In ms. */
async function collect(warmUp: number, runs: number): Promise<Waits> {
  await using rig = await openRig({ hasS3: false, simulatorArgs: ["--no-previews"] });
  await using bull = await openRawBull(rig.system.redis.url, { hasWorker: true });
  const line = await openLine(rig.system.url);
  const answered: { readonly id: string; readonly atMs: number }[] = [];
  const raw: number[] = [];
  for (let at = 0; at < warmUp + runs; at += 1) {
    answered.push(await submitBy(line, bodyOf(rig, LOAD)));
    await sleep(APART_MS);
    const calledAtMs = unixMs();
    raw.push((await bull.addAndWait({ ms: 0 })) - calledAtMs);
  }
  line.close();
  await rig.receiver.untilTold(answered.map(({ id }) => id));
  const arrivals = new Map(
    (await promptsOf(rig.system.instances[0])).map((prompt) => [prompt.job, prompt.arrivedAtMs]),
  );
  const ours = answered.map(({ id, atMs }) => (arrivals.get(id) ?? Number.NaN) - atMs);
  return { ours: ours.slice(warmUp), raw: raw.slice(warmUp) };
}

function blocks(samples: readonly number[]): readonly (readonly number[])[] {
  const size = Math.ceil(samples.length / BLOCKS);
  return Array.from({ length: BLOCKS }, (_, at) => samples.slice(at * size, (at + 1) * size));
}

async function run({ isQuick }: Effort): Promise<Measured> {
  const { ours, raw } = isQuick ? await collect(1, 10) : await collect(100, 500);
  const rawBlocks = blocks(raw);
  const byRaw = (q: number) =>
    median(blocks(ours).map((block, at) => quantile(block, q) / quantile(rawBlocks[at] ?? [], q)));
  const { p50, p99 } = spread(raw);
  return {
    checks: [
      { name: "p50_by_raw", value: byRaw(0.5), atMost: 4 },
      { name: "p99_by_raw", value: byRaw(0.99), atMost: 4 },
    ],
    baseline: `raw BullMQ, add to processor: p50 ${p50} ms, p99 ${p99} ms`,
    n: ours.length,
    ...spread(ours),
    details: { p90: rounded(quantile(ours, 0.9), 2) },
  };
}

export const pickup: Bench = {
  id: "B5",
  what: "an idle worker's pickup: answer of the submission to POST of the prompt, by BullMQ's own",
  run,
};
