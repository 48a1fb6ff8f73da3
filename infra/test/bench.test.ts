import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { TokenBucket } from "../../packages/fake-s3/src/tokenBucket.ts";
import { interleave } from "../bench/harness/interleave.ts";
import { amongNoise } from "../bench/harness/noise.ts";
import { type Measured, toLine, toTable } from "../bench/harness/report.ts";
import { median, medianRatio, quantile } from "../bench/harness/statistics.ts";
import { busyOf } from "../bench/rig/busy.ts";

const quiet = { before_ms: 40, after_ms: 41, moved: 0.03 };

test("a line lets through what its speed allows, whoever sends", async () => {
  let nowMs = 5_000;
  const line = new TokenBucket({
    monotonicMs: () => nowMs,
    sleep: async (ms: number) => {
      nowMs += ms;
    },
  });
  line.setRate(12_500_000);
  for (let piece = 0; piece < 320; piece += 1) await line.take(62_500, new AbortController().signal);
  expect(nowMs - 5_000).toBeCloseTo(1_600, -1);
});

test("subject and baseline take turns, and one disturbed pair does not move the ratio", async () => {
  const order: string[] = [];
  const subjects = [10, 12, 900];
  const pairs = await interleave(
    3,
    async (at) => {
      order.push("A");
      return subjects[at] ?? 0;
    },
    async () => {
      order.push("B");
      return 20;
    },
  );
  expect(order.join("")).toBe("ABABAB");
  expect(medianRatio(pairs)).toBe(0.6);
});

test("quantiles are those of the samples in order", () => {
  const samples = Array.from({ length: 100 }, (_, at) => 99 - at);
  expect([quantile(samples, 0.5), quantile(samples, 0.99), median(samples)]).toEqual([50, 99, 49.5]);
  expect(() => median([])).toThrow(RangeError);
});

test("a machine whose speed moved is measured once more, and the steadier run counts", async () => {
  const spins = [40, 60, 100, 103];
  const values = [1, 2];
  const { value, noise } = await amongNoise(
    async () => values.shift(),
    () => spins.shift() ?? 0,
  );
  expect([value, noise.moved]).toEqual([2, 0.03]);
});

test("busy is the time executing from the first start to the last end, without the first prompts", () => {
  const prompt = (from: number, to: number) => ({
    started: 1,
    arrivedAtMs: from,
    executionStartAtMs: from,
    executionEndAtMs: to,
    busyMs: to - from,
  });
  const busy = busyOf([prompt(500, 600), prompt(100, 200), prompt(250, 350)], 1);
  expect(busy).toMatchObject({ share: 200 / 350, n: 2, gapsMs: [150] });
});

test("a line says whether every bound was met, and the table shows it", () => {
  const measured: Measured = {
    checks: [
      { name: "overhead_ms", value: 12, atMost: 40 },
      { name: "by_raw", value: 13, atMost: 12 },
    ],
    baseline: "raw",
    n: 3,
  };
  const line = toLine({ id: "B3", what: "a job" }, measured, { noise: quiet, tookMs: 1_234 });
  expect(line).toMatchObject({ ratio: 12, met: false, target: "overhead_ms <= 40, by_raw <= 12", took_s: 1.2 });
  const [head, row] = toTable([line]).split("\n");
  expect(head).toMatch(/^bench +measured +target +met/);
  expect(row).toMatch(/^B3 +12, 13 +overhead_ms <= 40, by_raw <= 12 +NO/);
});

test("one command runs a benchmark from end to end and prints a JSON line", { timeout: 120_000 }, async () => {
  const root = new URL("../..", import.meta.url).pathname;
  const args = ["--conditions=@comfyq/source", "infra/bench/main.ts", "B5", "--quick"];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
  expect(JSON.parse(stdout)).toMatchObject({
    bench: "B5",
    ratio: expect.any(Number),
    met: expect.any(Boolean),
    n: 10,
    p50: expect.any(Number),
    checks: { p50_by_raw: expect.any(Number), p99_by_raw: expect.any(Number) },
    noise: { moved: expect.any(Number) },
  });
});
