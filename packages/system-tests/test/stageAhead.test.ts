import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { WorkerBeat } from "@comfyq/contract";
import { startFakeS3 } from "@comfyq/fake-s3";
import { expect, onTestFinished, test } from "vitest";
import { freshPixel } from "./graphs.ts";
import { isFinished, readJson, type System, setup } from "./setup.ts";
import { promptsOf, untilDead } from "./traces.ts";

interface SimulatorFacts {
  readonly uploads: { readonly count: number };
  readonly prompts: readonly { readonly job?: string; readonly started: number; readonly busyMs: number }[];
}

const factsOf = (system: System, at = 0) => readJson<SimulatorFacts>(fetch(`${system.instances[at]}/simulator/stats`));

/** Waits for a fact. */
async function eventually(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Gives another picture to whoever asks for another path, and counts; keeps those waiting who ask for `/stuck`. */
async function startHost() {
  const seen: string[] = [];
  const waiting = new Set<ServerResponse>();
  const pictures = new Map<string, Buffer>();
  const server = createServer(({ url = "" }, response) => {
    seen.push(url);
    const picture = pictures.get(url) ?? freshPixel();
    pictures.set(url, picture);
    response.writeHead(200, { "content-type": "image/png", "content-length": picture.length });
    if (!url.startsWith("/stuck")) return void response.end(picture);
    waiting.add(response);
    response.on("close", () => waiting.delete(response));
    response.write(picture.subarray(0, 1));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // listening on TCP, so it is one
  return { url: `http://127.0.0.1:${port}`, seen, waiting };
}

/** Renders for so long, with one input by URL and one file of so many bytes. */
function job(url: string, ms: number, bytes = 5_000) {
  return {
    workflow: {
      in: { class_type: "LoadImage", inputs: { image: "x.png" } },
      seen: { class_type: "PreviewImage", inputs: { images: ["in", 0] } },
      "1": { class_type: "SimSleep", inputs: { ms, steps: Math.ceil(ms / 50), value: String(Math.random()) } },
      "2": { class_type: "SimOutput", inputs: { input: ["1", 0], bytes, seed: 1, filename_prefix: "a" } },
    },
    inputs: { "in.inputs.image": url },
  };
}

test("the inputs of the next job are on the instance before this one ends, and a job with the same picture uploads nothing", async () => {
  await using system = await setup();
  const host = await startHost();
  const first = await system.submit(job(`${host.url}/a`, 4_000));
  await system.until(first.id, ({ stage }) => stage === "rendering");
  const next = await system.submit(job(`${host.url}/b`, 50));
  await eventually(async () => (await factsOf(system)).uploads.count === 2);
  expect(await system.read(first.id)).toMatchObject({ stage: "rendering" });
  const same = await system.submit(job(`${host.url}/a`, 50));
  for (const { id } of [first, next, same])
    expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect((await factsOf(system)).uploads.count).toBe(2);
  expect(host.seen.toSorted()).toEqual(["/a", "/a", "/b"]);
}, 60_000);

test("a worker killed while it brings an input ahead loses nothing: both jobs end, each rendered once", async () => {
  await using system = await setup({ timeScale: 0.2, startWorkers: false });
  const doomed = await system.restartWorker(0, { FAILPOINT: "ahead_uploaded:kill9@1" });
  const host = await startHost();
  const first = await system.submit(job(`${host.url}/a`, 6_000));
  await system.until(first.id, ({ stage }) => stage === "rendering");
  const next = await system.submit(job(`${host.url}/b`, 50));
  expect(await untilDead(system, doomed, first.id)).toBeNull(); // by a signal
  expect(await system.read(next.id)).toMatchObject({ status: "queued", attempts: 0 });
  await system.restartWorker(0);
  for (const { id } of [first, next]) {
    expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded" });
    expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1, outcome: "success" }]);
  }
  expect(await system.read(next.id)).toMatchObject({ attempts: 1 });
  expect((await factsOf(system)).uploads.count).toBe(2); // what the dead one had brought was found
}, 60_000);

test("a source that is stuck ahead stops neither the render nor the jobs behind it, and is let go with a canceled job", async () => {
  await using system = await setup({ workers: 1 });
  const host = await startHost();
  const first = await system.submit(job(`${host.url}/a`, 3_000));
  await system.until(first.id, ({ stage }) => stage === "rendering");
  const stuck = await system.submit(job(`${host.url}/stuck`, 50));
  const behind = await system.submit(job(`${host.url}/b`, 50));
  await eventually(async () => host.waiting.size === 1 && (await factsOf(system)).uploads.count === 2);
  await system.post(`/v1/jobs/${stuck.id}/cancel`);
  await eventually(async () => host.waiting.size === 0);
  for (const { id } of [first, behind])
    expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect(host.seen).toEqual(["/a", "/stuck", "/b"]);
}, 60_000);

test.each([
  ["jobs", { COMFYQ_STORING_MAX: "2" }, 2],
  ["bytes", { COMFYQ_STORING_MAX_BYTES: "1500" }, 2], // one more may begin while it is asked how large the first is,
] as const)(
  "a full backlog, counted in %s, holds the GPU back, and metric and heartbeat say why",
  async (_, cap, jobs) => {
    const key = { accessKeyId: "key", secretAccessKey: "secret" };
    const s3 = await startFakeS3({ buckets: ["results"], ...key });
    onTestFinished(() => s3.close());
    const place = { S3_BUCKET: "results", S3_ENDPOINT: s3.url, AWS_REGION: "us-east-1" };
    const env = { ...place, AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret", ...cap };
    await using system = await setup({ env });
    const host = await startHost();
    const trouble = s3.faults.add({ kind: "error", code: "SlowDown", on: ["PutObject"] });
    const all = await Promise.all([1, 2, 3].map(() => system.submit(job(`${host.url}/a`, 50))));
    const worker = async () => {
      const { workers } = await readJson<{ workers: WorkerBeat[] }>(system.get("/v1/workers"));
      return workers[0];
    };
    await eventually(async () => (await worker())?.gpu?.state === "storage_backlog");
    const { storing = 0, storing_bytes } = (await worker()) ?? {};
    expect([storing <= jobs, storing_bytes]).toEqual([true, storing * 5_000]);
    const metric = async (line: string) => {
      const text = await (await fetch(`${String(system.workers[0]?.ready["health"])}/metrics`)).text();
      return Number(
        text
          .split("\n")
          .find((one) => one.startsWith(`${line} `))
          ?.slice(line.length),
      );
    };
    expect(await metric('comfyq_worker_gpu_idle_seconds_total{reason="storage_backlog"}')).toBeGreaterThan(0);
    expect(await metric("comfyq_worker_gpu_busy_seconds_total")).toBeGreaterThan(0);
    expect(await metric("comfyq_worker_storage_backlog_jobs")).toBe(storing);
    expect((await factsOf(system)).prompts).toHaveLength(storing); // nothing more was begun
    trouble.remove();
    for (const { id } of all)
      expect(await system.until(id, isFinished)).toMatchObject({ status: "succeeded", attempts: 1 });
    expect(await metric("comfyq_worker_storage_backlog_jobs")).toBe(0);
  },
  60_000,
);
