import { readJson, setup } from "../../packages/system-tests/test/setup.ts";

/**
 * What comfyq adds to one render, on an otherwise idle system: from the submit call to the webhook received, minus the time
 * ComfyUI was busy. And what a submit call costs. Run: `npm run -s bench`.
 * Absolute times belong to the machine; compare runs of one machine only.
 */
const WARM_UP = 100;
const ROUNDS = 200;
const RENDER_MS = 100;

interface Stats {
  readonly busyMs: number;
}

const quantile = (sorted: readonly number[], q: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;

function report(name: string, samples: readonly number[]): void {
  const sorted = samples.toSorted((a, b) => a - b);
  const [p50, p99] = [0.5, 0.99].map((q) => Number(quantile(sorted, q).toFixed(1)));
  console.log(JSON.stringify({ bench: name, n: sorted.length, p50_ms: p50, p99_ms: p99 }));
}

/** One render of 100 ms and one small picture; another seed each time, so that ComfyUI's cache does not answer. */
const graph = (seed: number) => ({
  "1": { class_type: "EmptyImage", inputs: { width: 16, height: 16, batch_size: 1, color: seed % 16_777_216 } },
  "2": { class_type: "SimSleep", inputs: { ms: RENDER_MS, steps: 0, input: ["1", 0] } },
  "3": { class_type: "SaveImage", inputs: { images: ["2", 0], filename_prefix: "bench" } },
});

await using system = await setup();
const stats = () => readJson<Stats>(fetch(`${system.instances[0]}/simulator/stats`));
const submits: number[] = [];
const overheads: number[] = [];
for (let round = -WARM_UP; round < ROUNDS; round += 1) {
  const busyBeforeMs = (await stats()).busyMs;
  const startedAtMs = performance.now();
  const { id } = await system.submit({ workflow: graph(WARM_UP + round + 1), webhook: { url: system.sink.url } });
  const submitMs = performance.now() - startedAtMs;
  while (system.sink.received(id).length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const tookMs = performance.now() - startedAtMs;
  const overheadMs = tookMs - ((await stats()).busyMs - busyBeforeMs);
  if (round < 0) continue; // code that has not run yet is slow, and says nothing of the day
  submits.push(submitMs);
  overheads.push(overheadMs);
}
report("enqueue", submits);
report("job_overhead_at_100_ms_renders", overheads);
