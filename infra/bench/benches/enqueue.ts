import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { newSecret, sha256Hex } from "../../../packages/runtime/src/index.ts";
import type { Bench, Effort } from "../harness/bench.ts";
import { interleave } from "../harness/interleave.ts";
import type { Measured } from "../harness/report.ts";
import { median, medianRatio, rounded, spread } from "../harness/statistics.ts";
import { cpuMs } from "../rig/cpu.ts";
import { type HttpLine, openLine } from "../rig/httpLine.ts";
import { CLIENTS, perSecond } from "../rig/perSecond.ts";
import { openRawBull, type RawBull } from "../rig/raw.ts";
import { openRig, type Rig } from "../rig/rig.ts";
import { tenKilobytes } from "../rig/tenKilobytes.ts";

/** From now on every caller needs the key that is returned. */
async function lockDoor({ system }: Rig): Promise<string> {
  const key = newSecret("cq_live");
  const [tenant, created_at] = ["bench", "2026-01-01T00:00:00Z"];
  const stored = {
    name: "bench",
    sha256: sha256Hex(key),
    tenant,
    scopes: ["submit", "read"],
    created_at,
    expires_at: null,
  };
  await writeFile(join(system.dataDir, "keys.json"), JSON.stringify({ v: 1, keys: [stored] }));
  while ((await system.get("/v1/jobs")).status !== 401) await sleep(100);
  return key;
}

/** A render that outlasts the benchmark: the worker lives, and tells its classes, but takes nothing more. */
export async function occupy({ system }: Rig): Promise<void> {
  const { id } = await system.submit({
    workflow: {
      "1": { class_type: "SimSleep", inputs: { ms: 3_600_000, steps: 0 } },
      "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
    },
  });
  await system.until(id, ({ stage }) => stage === "rendering");
}

/** What each process spent on one call, in µs of CPU: a machine that is busy with other things stretches time, not this. */
class CpuBook {
  readonly #spentMs = new Map<string, number>();
  #calls = 0;

  async note(pids: Readonly<Record<string, number>>, calls: number, run: () => Promise<number>): Promise<number> {
    const before = Object.entries(pids).map(([name, pid]) => ({ name, pid, ms: cpuMs(pid) }));
    const measured = await run();
    this.#calls += calls;
    for (const { name, pid, ms } of before) this.#spentMs.set(name, (this.#spentMs.get(name) ?? 0) + cpuMs(pid) - ms);
    return measured;
  }

  perCall(prefix: string): Record<string, number> {
    return Object.fromEntries(
      [...this.#spentMs].map(([name, ms]) => [`${prefix}_${name}_us`, rounded((ms * 1_000) / this.#calls, 0)]),
    );
  }
}

interface Callers {
  readonly rig: Rig;
  readonly lines: readonly HttpLine[];
  readonly headers: string;
  readonly raw: RawBull;
}

async function measure({ rig, lines, headers, raw }: Callers, pairs: number, calls: number) {
  const body = tenKilobytes();
  const text = JSON.stringify(body);
  const latenciesMs: number[] = [];
  const post = async (client: number) => {
    const startedAtMs = performance.now();
    const answer = await lines[client]?.post("/v1/jobs", `${headers}Idempotency-Key: ${randomUUID()}\r\n`, text);
    if (answer?.status !== 201) throw new Error(`submit answered ${answer?.status}: ${answer?.body}`);
    latenciesMs.push(performance.now() - startedAtMs);
  };
  const [ours, theirs] = [new CpuBook(), new CpuBook()];
  const redis = rig.system.redis.pid;
  const measured = await interleave(
    pairs,
    () => ours.note({ api: rig.system.api.pid, redis, clients: process.pid }, calls, () => perSecond(calls, post)),
    () => theirs.note({ node: process.pid, redis }, calls, () => perSecond(calls, () => raw.add(body))),
  );
  return { measured, latenciesMs, cpu: { ...ours.perCall("ours"), ...theirs.perCall("raw") } };
}

async function run({ isQuick }: Effort): Promise<Measured> {
  await using rig = await openRig({ hasS3: false });
  await occupy(rig);
  const headers = `Authorization: Bearer ${await lockDoor(rig)}\r\n`;
  await using raw = await openRawBull(rig.system.redis.url, { hasWorker: false });
  const lines = await Promise.all(Array.from({ length: CLIENTS }, () => openLine(rig.system.url)));
  const [pairs, calls, warmUp] = isQuick ? [1, 128, 64] : [7, 1_500, 3_000];
  await measure({ rig, lines, headers, raw }, 1, warmUp); // code that has not run yet is slow, and says nothing of the day
  const { measured, latenciesMs, cpu } = await measure({ rig, lines, headers, raw }, pairs, calls);
  for (const line of lines) line.close();
  return {
    checks: [{ name: "of_raw", value: medianRatio(measured), atLeast: 0.65 }],
    baseline: `raw queue.add: ${Math.round(median(measured.map(({ baseline }) => baseline)))} jobs/s`,
    n: pairs * calls,
    ...spread(latenciesMs),
    details: { accepted_per_s: rounded(median(measured.map(({ subject }) => subject)), 0), ...cpu },
  };
}

export const enqueue: Bench = {
  id: "B4",
  what: "submissions per second by 64 clients, 10 KB each, key, checks, Idempotency-Key, by raw queue.add",
  run,
};
