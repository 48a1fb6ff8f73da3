import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Effort } from "../harness/bench.ts";
import { interleave } from "../harness/interleave.ts";
import type { Measured } from "../harness/report.ts";
import { median, medianRatio, rounded } from "../harness/statistics.ts";
import { openRawBull } from "../rig/raw.ts";
import { openRig, type Rig } from "../rig/rig.ts";
import { tenKilobytes } from "../rig/tenKilobytes.ts";
import { occupy } from "./enqueue.ts";

const ROWS = 100;

/** How one batch went. */
interface Taken {
  readonly acceptedMs: number;
  /** Until the last of its jobs stood in the queue. */
  readonly madeMs: number;
}

/** Nobody takes its jobs: what is measured is how they come in. */
async function submit({ system }: Rig, rows: number): Promise<Taken> {
  const startedAtMs = performance.now();
  const values = Array.from({ length: rows }, (_, row) => ({ "last.inputs.filename_prefix": `row${row}` }));
  const body = JSON.stringify({ ...tenKilobytes(), rows: values });
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${system.url}/v1/batches`, { method: "POST", headers, body });
  if (answer.status !== 201) throw new Error(`the batch was answered ${answer.status}: ${await answer.text()}`);
  const { id } = (await answer.json()) as { readonly id: string }; // a Batch
  const acceptedMs = performance.now() - startedAtMs;
  const states = () => system.redisCommand("GETRANGE", `comfyq:batch:${id}:states`, String(rows - 1), String(rows - 1));
  while ((await states()) === ".") await sleep(rows > ROWS ? 50 : 1);
  return { acceptedMs, madeMs: performance.now() - startedAtMs };
}

async function usedBytes({ system }: Rig): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await system.redisCommand("INFO", "memory"))?.[1]);
}

async function perSecond(count: number, act: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now();
  for (let n = 0; n < count; n += 1) await act();
  return (count * ROWS * 1_000) / (performance.now() - startedAtMs);
}

async function run({ isQuick }: Effort): Promise<Measured> {
  await using rig = await openRig({ hasS3: false });
  await occupy(rig);
  await using raw = await openRawBull(rig.system.redis.url, { hasWorker: false });
  const [pairs, count, many] = isQuick ? [1, 1, 300] : [5, 8, 10_000];
  const payloads = Array.from({ length: ROWS }, () => tenKilobytes());
  await perSecond(count, () => submit(rig, ROWS)); // code that has not run yet is slow
  const measured = await interleave(
    pairs,
    () => perSecond(count, () => submit(rig, ROWS)),
    () => perSecond(count, () => raw.addBulk(payloads)),
  );
  const before = await usedBytes(rig);
  const whole = await submit(rig, many);
  return {
    checks: [{ name: "of_raw_bulk", value: medianRatio(measured) }],
    baseline: `raw addBulk(100): ${Math.round(median(measured.map(({ baseline }) => baseline)))} jobs/s`,
    n: pairs * count * ROWS,
    details: {
      made_per_s: rounded(median(measured.map(({ subject }) => subject)), 0),
      rows: many,
      accepted_ms: rounded(whole.acceptedMs, 0),
      made_ms: rounded(whole.madeMs, 0),
      bytes_per_row: rounded(((await usedBytes(rig)) - before) / many, 0),
    },
  };
}

export const batch: Bench = {
  id: "B4b",
  what: "jobs per second of batches of 100 rows, until all are made, by raw addBulk(100) of the same payload",
  run,
};
