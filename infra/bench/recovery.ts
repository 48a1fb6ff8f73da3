import { sampling } from "../../packages/system-tests/test/graphs.ts";
import { readJson, type System, setup } from "../../packages/system-tests/test/setup.ts";

/**
 * How long a job stands still when its worker is killed with -9 in the middle of a render, with the default settings: from
 * the kill to the next attempt at a neighbour's instance, and to the same prompt rejoined by the same worker started again.
 * Run: `npm run -s bench:recovery`. Takes ten minutes: the lock's ten seconds are what is measured.
 */
const ROUNDS = 20;

interface Attempt {
  readonly epoch: number;
  readonly worker: string;
  readonly instance: string;
  readonly prompt_id: string | null;
}

interface Line {
  readonly bench: string;
  readonly n: number;
  readonly p50_s: number;
  readonly max_s: number;
}

function report(bench: string, samplesMs: readonly number[]): void {
  const sorted = samplesMs.toSorted((a, b) => a - b);
  const seconds = (at: number) => Number(((sorted[at] ?? 0) / 1_000).toFixed(1));
  const line: Line = { bench, n: sorted.length, p50_s: seconds(sorted.length >> 1), max_s: seconds(sorted.length - 1) };
  console.log(JSON.stringify(line));
}

async function attemptsOf(system: System, id: string): Promise<readonly Attempt[]> {
  return (await readJson<{ attempts: Attempt[] }>(system.get(`/v1/jobs/${id}/attempts`))).attempts;
}

/** Waits for an attempt after the first that has found, or submitted, its prompt. */
async function nextPrompt(system: System, id: string): Promise<Attempt> {
  for (;;) {
    const next = (await attemptsOf(system, id)).find(({ epoch, prompt_id }) => epoch > 1 && prompt_id !== null);
    if (next) return next;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function round(system: System, comesBack: boolean): Promise<number> {
  const { id } = await system.submit({ workflow: sampling(1_000) });
  await system.until(id, ({ stage }) => stage === "rendering");
  const [first] = await attemptsOf(system, id);
  const at = system.workers.findIndex(({ ready }) => ready["id"] === first?.worker);
  const killedAtMs = performance.now();
  await system.workers[at]?.stop("SIGKILL");
  if (comesBack) await system.restartWorker(at);
  const next = await nextPrompt(system, id);
  const tookMs = performance.now() - killedAtMs;
  if (comesBack !== (next.prompt_id === first?.prompt_id))
    throw new Error(`round went the other way: ${next.instance}`);
  await system.post(`/v1/jobs/${id}/cancel`);
  await system.until(id, ({ status }) => status === "canceled");
  if (!comesBack) await system.restartWorker(at);
  return tookMs;
}

for (const [bench, workers, comesBack] of [
  ["killed_worker_neighbour_takes_over", 2, false],
  ["killed_worker_comes_back_and_rejoins", 1, true],
] as const) {
  await using system = await setup({ workers, simulatorArgs: ["--step-ms", "100"] });
  const samplesMs: number[] = [];
  for (let at = 0; at < ROUNDS; at += 1) samplesMs.push(await round(system, comesBack));
  report(bench, samplesMs);
}
