import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Job, JobPage, WorkerBeat } from "@comfyq/contract";
import { afterAll, describe, expect, test, vi } from "vitest";
import { copyImage, PIXEL } from "./graphs.ts";
import { openLanes, timedJob } from "./lanes.ts";
import type { Running } from "./processes.ts";
import { isFinished, readJson, setup } from "./setup.ts";
import { attemptsOf, expectOneSuccess, expectToldOnce, historyOf, promptsOf, untilDead } from "./traces.ts";

const system = await setup({
  workers: 6,
  startWorkers: false,
  timeScale: 0.2,
  env: { COMFYQ_DRAIN_S: "0", COMFYQ_INPUT_TIMEOUT_S: "2" },
});
afterAll(() => system[Symbol.asyncDispose]());
const onLane = openLanes(system);

const newPool = () => `pool-${Math.floor(Math.random() * 2 ** 40)}`;
const PATIENCE = { timeout: 90_000 };

/** Keeps something running as an orchestrator would: ended, it is started again, until disposed. */
function keepRunning(current: () => Running | undefined, start: () => Promise<unknown>): AsyncDisposable {
  let isWanted = true;
  let starting: Promise<unknown> = Promise.resolve();
  void (async () => {
    while (isWanted) {
      await current()?.ended();
      if (isWanted) starting = start();
      await starting;
    }
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      isWanted = false;
      await starting;
    },
  };
}

async function poisonOf(pool: string): Promise<readonly Job[]> {
  const { jobs } = await readJson<JobPage>(system.get("/v1/jobs?status=failed&code=poison&limit=100"));
  return jobs.filter((job) => job.pool === pool);
}

/** A worker with a heap of 128 MB, which it fills until it dies of it when it gets SIGUSR2. */
const GREEDY = `process.on("SIGUSR2", () => { for (const kept = []; ; ) kept.push(new Array(100_000).fill(0.5)); });`;
const SMALL_HEAP = {
  NODE_OPTIONS: `--max-old-space-size=128 --import=data:text/javascript,${encodeURIComponent(GREEDY)}`,
};

/** Waits until attempt `count` at the job renders, and lets the worker run out of memory. */
async function exhaust(id: string, first: number, count: number): Promise<void> {
  const begun = async () => (await historyOf(system, id)).filter(({ op }) => op === "executing");
  await vi.waitFor(async () => expect(await begun()).toHaveLength(count), { timeout: 30_000, interval: 50 });
  const doomed = system.workers[first];
  if (!doomed) throw new Error("there is no worker");
  process.kill(doomed.pid, "SIGUSR2");
  await untilDead(system, doomed, id);
  expect(doomed.log()).toContain("heap out of memory");
}

describe.concurrent("a worker that runs out of memory", () => {
  test("is started again, and its job goes on from the same prompt", PATIENCE, () =>
    onLane(async ({ first }) => {
      const env = { COMFYQ_POOL: newPool(), ...SMALL_HEAP };
      await system.restartWorker(first, env);
      const { id } = await system.submit(timedJob(2_000, { pool: env.COMFYQ_POOL }));
      await exhaust(id, first, 1);
      await system.restartWorker(first, env);
      await expectOneSuccess(system, id);
      expect(await attemptsOf(system, id)).toMatchObject([{ end: null }, { end: "succeeded" }]);
      expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1 }]);
    }),
  );

  test("twice by the same job calls it poison, which is listed; the others are done", PATIENCE, () =>
    onLane(async ({ first }) => {
      const env = { COMFYQ_POOL: newPool(), ...SMALL_HEAP };
      const pool = env.COMFYQ_POOL;
      const start = () => system.restartWorker(first, env);
      await start();
      await using _orchestrator = keepRunning(() => system.workers[first], start);
      // Long enough to render still when the lock of the first has run out: a death while storing counts half.
      const { id } = await system.submit(timedJob(60_000, { pool, webhook: { url: system.sink.url } }));
      const others = await Promise.all([1, 2, 3, 4].map(() => system.submit(timedJob(50, { pool }))));
      await exhaust(id, first, 1);
      await exhaust(id, first, 2);
      expect(await system.until(id, isFinished)).toMatchObject({ status: "failed", error: { code: "poison" } });
      for (const other of others) await expectOneSuccess(system, other.id);
      expect((await poisonOf(pool)).map((job) => job.id)).toEqual([id]);
      await expectToldOnce(system, id, "job.failed");
    }),
  );
});

test.concurrent(
  "a workflow that kills its ComfyUI twice is poison; the others are done, and their prompts are not",
  PATIENCE,
  () =>
    onLane(async ({ first }) => {
      const pool = newPool();
      await system.restartWorker(first, { COMFYQ_POOL: pool });
      await using _orchestrator = keepRunning(
        () => system.simulators[first],
        () => system.restartSimulator(first),
      );
      const deadly = timedJob(50, { pool, webhook: { url: system.sink.url } });
      const crash = { class_type: "SimCrash", inputs: { input: ["1", 0] } };
      const { id } = await system.submit({ ...deadly, workflow: { ...deadly.workflow, "9": crash, "10": seen("9") } });
      const others = await Promise.all([1, 2, 3, 4].map(() => system.submit(timedJob(50, { pool }))));
      expect(await system.until(id, isFinished)).toMatchObject({ status: "failed", error: { code: "poison" } });
      for (const other of others) await expectOneSuccess(system, other.id);
      expect((await poisonOf(pool)).map((job) => job.id)).toEqual([id]);
      await expectToldOnce(system, id, "job.failed");
      expect((await historyOf(system, id)).filter(({ op }) => op === "crashed")).toHaveLength(2);
    }),
);

const seen = (node: string) => ({ class_type: "PreviewAny", inputs: { source: [node, 0] } });

test.concurrent(
  "an error that nobody foresaw fails its attempt only: it is tried again, and the worker goes on",
  PATIENCE,
  () =>
    onLane(async ({ first }) => {
      const pool = newPool();
      const worker = await system.restartWorker(first, { COMFYQ_POOL: pool, FAILPOINT: "executing:throw@1" });
      const { id } = await system.submit(timedJob(50, { pool }));
      await expectOneSuccess(system, id);
      expect(await attemptsOf(system, id)).toMatchObject([
        { end: "failed", error: { code: "internal" } },
        { end: "succeeded" },
      ]);
      expect(system.workers[first]?.pid).toBe(worker.pid);
    }),
);

test.concurrent(
  "of two workers pointed at one ComfyUI the second refuses and says why, until the first is dead",
  PATIENCE,
  () =>
    onLane(async ({ first, second }) => {
      const pool = newPool();
      const one = await system.restartWorker(first, { COMFYQ_POOL: pool });
      await system.restartWorker(second, { COMFYQ_POOL: pool, COMFYUI_URL: String(system.instances[first]) });
      const beatOf = async (id: string) => {
        const { workers } = await readJson<{ workers: WorkerBeat[] }>(system.get("/v1/workers"));
        return workers.find((worker) => worker.id === id);
      };
      const refusal = { state: "unready", reason: expect.stringContaining(`worker-${first}`) };
      await vi.waitFor(async () => expect(await beatOf(`worker-${second}`)).toMatchObject(refusal), {
        timeout: 20_000,
      });
      const jobs = await Promise.all([1, 2, 3].map(() => system.submit(timedJob(50, { pool }))));
      for (const { id } of jobs) {
        await expectOneSuccess(system, id);
        expect(await attemptsOf(system, id)).toMatchObject([{ worker: `worker-${first}` }]);
      }
      await one.stop("SIGKILL");
      const { id } = await system.submit(timedJob(50, { pool }));
      await expectOneSuccess(system, id);
      expect(await attemptsOf(system, id)).toMatchObject([{ worker: `worker-${second}` }]);
    }),
);

/** A folder on a disk of 1 MB; undefined where one may not mount. */
async function mountTinyDisk(): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), "comfyq-tiny-"));
  const isMounted = await promisify(execFile)("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).then(
    () => true,
    () => false,
  );
  if (!isMounted) await rm(folder, { recursive: true });
  return isMounted ? folder : undefined;
}

const tinyDisk = await mountTinyDisk();
afterAll(async () => {
  if (tinyDisk === undefined) return;
  await promisify(execFile)("umount", [tinyDisk]);
  await rm(tinyDisk, { recursive: true });
});

test
  .skipIf(tinyDisk === undefined)
  .concurrent(
    "a worker whose disk is full for an input leaves nothing on it, goes on with what needs none, and another does the job",
    PATIENCE,
    () =>
      onLane(async ({ first, second }) => {
        const pool = newPool();
        const bytes = Buffer.concat([Buffer.from(PIXEL, "base64"), Buffer.alloc(3_000_000)]);
        await using source = await startSource((response) => response.end(bytes));
        await system.restartWorker(first, { COMFYQ_POOL: pool, TMPDIR: String(tinyDisk) });
        const workflow = copyImage("pose.png");
        const { id } = await system.submit({ workflow, pool, inputs: { "10.inputs.image": source.url } });
        await vi.waitFor(async () => expect((await attemptsOf(system, id))[0]?.end).toMatch(/failed|given_back/), {
          timeout: 20_000,
        });
        await system.restartWorker(second, { COMFYQ_POOL: pool });
        await expectOneSuccess(system, (await system.submit(timedJob(50, { pool }))).id);
        await system.workers[first]?.stop("SIGTERM");
        await expectOneSuccess(system, id);
        expect(await readdir(String(tinyDisk))).toEqual([]);
      }),
  );

interface Source extends AsyncDisposable {
  readonly url: string;
}

/** A server of input files that answers as the test says. */
async function startSource(answer: (response: ServerResponse, path: string) => void): Promise<Source> {
  const server = createServer((request, response) => answer(response, String(request.url))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return {
    url: `http://127.0.0.1:${port}/pose.png`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** What may be wrong with an input's address, and what it comes to. */
const INPUTS: readonly (readonly [what: string, path: string, code: string, attempts: number])[] = [
  ["redirects for ever", "/loop", "input_unavailable", 1],
  ["sends a byte now and then", "/drip", "input_unreachable", 2],
  ["promises more than it sends", "/short", "input_unreachable", 2],
  ["has a name that nobody knows", "http://nowhere.invalid/pose.png", "input_unreachable", 2],
];

function misbehave(response: ServerResponse, path: string): void {
  if (path === "/loop") response.writeHead(302, { location: "/loop" }).end();
  else if (path === "/short") {
    response.writeHead(200, { "content-length": 1_000 });
    response.write("abc", () => response.destroy());
  } else {
    response.writeHead(200);
    const drip = setInterval(() => response.write("x"), 200);
    response.once("close", () => clearInterval(drip));
  }
}

test.concurrent(
  "an input that cannot be had fails its job by its kind: at once, or after another try; no GPU is used",
  PATIENCE,
  () =>
    onLane(async ({ first }) => {
      const pool = newPool();
      await using source = await startSource(misbehave);
      await system.restartWorker(first, { COMFYQ_POOL: pool });
      const submit = (path: string) => {
        const inputs = { "10.inputs.image": new URL(path, source.url).href };
        return system.submit({ workflow: copyImage("pose.png"), pool, max_attempts: 2, inputs });
      };
      const jobs = await Promise.all(INPUTS.map(([, path]) => submit(path)));
      for (const [n, [what, , code, attempts]] of INPUTS.entries()) {
        const { id = "" } = jobs[n] ?? {};
        const { status, error, ...job } = await system.until(id, isFinished);
        expect([what, status, error?.code, job.attempts]).toEqual([what, "failed", code, attempts]);
        expect(await promptsOf(system, id)).toEqual([]);
      }
    }),
);

test.concurrent(
  "an input that changes between two attempts is fetched again: the result is of one of them, whole",
  PATIENCE,
  () =>
    onLane(async ({ first }) => {
      const pool = newPool();
      let asked = 0;
      await using source = await startSource((response) => {
        asked += 1;
        const pixel = Buffer.from(PIXEL, "base64");
        if (asked === 1) return void response.writeHead(503).end();
        response.writeHead(200, { etag: `"${asked}"` }).end(Buffer.concat([pixel, Buffer.from([asked])]));
      });
      await system.restartWorker(first, { COMFYQ_POOL: pool });
      const workflow = copyImage("pose.png");
      const { id } = await system.submit({ workflow, pool, inputs: { "10.inputs.image": source.url } });
      await expectOneSuccess(system, id);
      expect(asked).toBe(2);
      expect(await promptsOf(system, id)).toHaveLength(1);
    }),
);

test.concurrent(
  "a journal that another version wrote into is read as far as it goes, and its prompt is gone on from",
  PATIENCE,
  () =>
    onLane(async ({ first }) => {
      const pool = newPool();
      const doomed = await system.restartWorker(first, { COMFYQ_POOL: pool, FAILPOINT: "executing:kill9@1" });
      const { id } = await system.submit(timedJob(1_500, { pool }));
      await untilDead(system, doomed, id);
      const key = `comfyq:attempts:${id}`;
      const { stop: _unknownToOlder, ...page } = JSON.parse(await system.redisCommand("HGET", key, "1"));
      const newer = { ...page, gpu_uuid: "GPU-1", lease: { until: 7 } };
      await system.redisCommand("HSET", key, "1", JSON.stringify(newer), "hints:1", "from the future");
      await system.restartWorker(first, { COMFYQ_POOL: pool });
      await expectOneSuccess(system, id);
      expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1 }]);
    }),
);
