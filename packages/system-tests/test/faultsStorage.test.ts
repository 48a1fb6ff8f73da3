import { createHash } from "node:crypto";
import { type Job, jobPrefix, manifestKey } from "@comfyq/contract";
import { type Fault, startFakeS3 } from "@comfyq/fake-s3";
import { afterAll, describe, expect, test, vi } from "vitest";
import { timedJob } from "./lanes.ts";
import { isFinished, setup } from "./setup.ts";
import { attemptsOf, expectToldOnce, historyOf, promptsOf } from "./traces.ts";

const s3 = await startFakeS3({ buckets: ["results"], accessKeyId: "key", secretAccessKey: "secret" });

/** Each worker has a pool of its own, so that tests may run side by side; the last two share one. */
const POOLS = ["a", "b", "c", "pair", "pair"];
const system = await setup({
  workers: POOLS.length,
  proxied: true,
  timeScale: 0.2,
  workerEnv: (at) => ({ COMFYQ_POOL: String(POOLS[at]) }),
  env: {
    COMFYQ_STORE_PATIENCE_S: "20",
    S3_BUCKET: "results",
    S3_PREFIX: "comfy",
    S3_ENDPOINT: s3.url,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "key",
    AWS_SECRET_ACCESS_KEY: "secret",
  },
});
afterAll(async () => {
  await system[Symbol.asyncDispose]();
  await s3.close();
});

const free = ["a", "b", "c"];
const waiting: ((pool: string) => void)[] = [];

/** Runs a test with a worker of its own. */
async function withWorker(run: (pool: string) => Promise<void>): Promise<void> {
  const pool = free.pop() ?? (await new Promise<string>((resolve) => waiting.push(resolve)));
  try {
    await run(pool);
  } finally {
    const next = waiting.shift();
    if (next) next(pool);
    else free.push(pool);
  }
}

/** Strikes only what belongs to this job. */
function strike(jobId: string, fault: Fault) {
  return s3.faults.add({ ...fault, keyPrefix: `comfy/${jobPrefix(jobId)}` });
}

/** It succeeded with one render in all, its links give what the manifest says, and its end was told once. */
async function expectOneRender(id: string): Promise<Job> {
  const job = await system.until(id, isFinished);
  expect(job).toMatchObject({ status: "succeeded", attempts: 1, error: null });
  await expectWholeOutputs(job);
  expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1, outcome: "success" }]);
  await expectToldOnce(system, id, "job.succeeded");
  return job;
}

async function expectWholeOutputs({ outputs }: Job): Promise<void> {
  expect(outputs.length).toBeGreaterThan(0);
  for (const { url, hash, size_bytes } of outputs) {
    const bytes = Buffer.from(await (await fetch(String(url))).arrayBuffer());
    expect(bytes.length).toBe(size_bytes);
    expect(`sha256:${createHash("sha256").update(bytes).digest("hex")}`).toBe(hash);
  }
}

const job = (pool: string, ms = 300) => timedJob(ms, { pool, webhook: { url: system.sink.url } });

/** Troubles that pass: each strikes the puts of one job for a while. */
const PASSING: readonly (readonly [name: string, fault: Fault])[] = [
  ["says SlowDown", { kind: "error", code: "SlowDown", on: ["PutObject"] }],
  ["fails with 500", { kind: "error", code: "InternalError", on: ["PutObject"] }],
  ["refuses our credentials", { kind: "error", code: "AccessDenied", on: ["PutObject"] }],
  ["is not there", { kind: "error", code: "NoSuchBucket", on: ["PutObject"] }],
  ["cuts the line in the middle of a file", { kind: "cut", afterBytes: 1_000, on: ["PutObject"] }],
  ["answers with a wrong checksum", { kind: "wrong_checksum", on: ["PutObject"] }],
];

describe.concurrent("a bucket that for a while", () => {
  test.for(PASSING)(
    "%s costs no render, the job says what it waits for, and the GPU goes on with the next one",
    { timeout: 60_000 },
    ([, fault]) =>
      withWorker(async (pool) => {
        const { id } = await system.submit(job(pool));
        const trouble = strike(id, fault);
        await vi.waitFor(() => expect(trouble.hits).toBeGreaterThan(0), { timeout: 20_000 });
        const next = await system.submit(job(pool));
        await expectOneRender(next.id);
        const message = expect.stringMatching(/^The store cannot be used: .*; it is tried again$/);
        const waiting = { status: "running", stage: "storing", progress: { message } };
        await vi.waitFor(async () => expect(await system.read(id)).toMatchObject(waiting), { timeout: 20_000 });
        trouble.remove();
        await expectOneRender(id);
      }),
  );
});

describe.concurrent("a seal", () => {
  test("whose answer is lost was made, and is found to be our own", { timeout: 60_000 }, () =>
    withWorker(async (pool) => {
      const { id } = await system.submit(job(pool));
      const trouble = s3.faults.add({ kind: "lose_answer", keyPrefix: `comfy/${manifestKey(id)}`, times: 1 });
      await expectOneRender(id);
      expect(trouble.hits).toBe(1);
    }),
  );

  test("that comes late meets the winner's, and its worker ends quietly", { timeout: 60_000 }, async () => {
    const { id } = await system.submit(job("pair", 1_000));
    const trouble = s3.faults.add({ kind: "delay", delayMs: 8_000, keyPrefix: `comfy/${manifestKey(id)}`, times: 1 });
    const { instance } = await system.until(id, ({ instance, stage }) => instance !== null && stage === "rendering");
    const line = system.lines.workers[system.instances.indexOf(String(instance))];
    await vi.waitFor(() => expect(trouble.hits).toBe(1), { timeout: 20_000 });
    line?.freeze(); // the first has begun to seal; from here on it loses its lock
    const done = await system.until(id, isFinished);
    expect(done).toMatchObject({ status: "succeeded", error: null });
    expect(done.instance).not.toBe(instance);
    await line?.thaw();
    const ghost = async () => (await historyOf(system, id)).filter(({ epoch }) => epoch === 1).map(({ op }) => op);
    await vi.waitFor(async () => expect(await ghost()).toContain("settled"), { timeout: 20_000 });
    await expectWholeOutputs(await system.read(id));
    expect((await system.read(id)).outputs).toEqual(
      done.outputs.map((output) => expect.objectContaining({ hash: output.hash })),
    );
    await expectToldOnce(system, id, "job.succeeded");
  });
});

test(
  "a file in many parts whose completion fails leaves no part behind, and is stored in the end",
  { timeout: 60_000 },
  () =>
    withWorker(async (pool) => {
      const order = job(pool);
      Object.assign(order.workflow["2"]?.inputs ?? {}, { bytes: 101_000_000, count: 1 });
      const { id } = await system.submit(order);
      const failing = strike(id, { kind: "error", code: "InternalError", on: ["CompleteMultipartUpload"], times: 3 });
      const cutting = strike(id, { kind: "cut", afterBytes: 100_000, on: ["UploadPart"], times: 2 });
      await expectOneRender(id);
      expect([failing.hits, cutting.hits]).toEqual([3, 2]);
      expect(s3.stats().openUploads).toBe(0);
    }),
);

test(
  "a bucket that stays forbidden for longer than one attempt has patience costs no render either",
  { timeout: 90_000 },
  () =>
    withWorker(async (pool) => {
      const at = POOLS.indexOf(pool);
      await system.workers[at]?.stop("SIGTERM");
      await system.restartWorker(at, { COMFYQ_STORE_PATIENCE_S: "1" });
      const { id } = await system.submit(job(pool));
      const trouble = strike(id, { kind: "error", code: "AccessDenied", on: ["PutObject"] });
      await system.until(id, ({ attempts }) => attempts >= 3);
      expect(await attemptsOf(system, id)).toMatchObject([
        { end: "failed", counted: false, error: { code: "output_push_failed", blame: "platform" } },
        { end: "failed", counted: false },
        { end: null },
      ]);
      trouble.remove();
      expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded", error: null });
      expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1, outcome: "success" }]);
      await expectToldOnce(system, id, "job.succeeded");
    }),
);

test("rendered jobs that wait for storage are bounded: then the GPU idles, and nothing is rendered twice", {
  timeout: 60_000,
}, async () => {
  const trouble = s3.faults.add({ kind: "error", code: "SlowDown", on: ["PutObject"], keyPrefix: "comfy/jobs/" });
  const jobs = await Promise.all(Array.from({ length: 6 }, () => system.submit(job("a", 50))));
  const storing = async () => {
    const shown = await Promise.all(jobs.map(({ id }) => system.read(id)));
    return shown.filter(({ stage }) => stage === "storing").length;
  };
  await vi.waitFor(async () => expect(await storing()).toBe(3), { timeout: 20_000 });
  // Longer than a job takes here: the fourth would have been begun.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const begun = await Promise.all(jobs.map(({ id }) => promptsOf(system, id)));
  expect(begun.flat()).toHaveLength(3);
  trouble.remove();
  for (const { id } of jobs) await expectOneRender(id);
});

test.runIf(process.env["COMFYQ_LONG_TESTS"] === "1")(
  "an upload that stalls is given up after 30 s of silence and made again, without a render (COMFYQ_LONG_TESTS=1)",
  { timeout: 120_000 },
  async () => {
    const { id } = await system.submit(job("a"));
    const trouble = strike(id, { kind: "stall", afterBytes: 100, on: ["PutObject"], times: 1 });
    await expectOneRender(id);
    expect(trouble.hits).toBe(1);
    expect(await attemptsOf(system, id)).toHaveLength(1);
  },
);
