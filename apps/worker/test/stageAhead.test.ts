import { randomUUID } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { createByteBudget } from "../src/inputs/byteBudget.ts";
import { eventually, isEnded, setup, sleeper } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

/** A host that keeps whoever asks waiting under `/stuck`, and gives so many bytes to all others, each time other ones. */
async function startHost() {
  const seen: string[] = [];
  const waiting = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    const { url = "" } = request;
    seen.push(url);
    response.on("close", () => waiting.delete(response));
    if (url.startsWith("/stuck")) {
      waiting.add(response);
      response.writeHead(200, { "content-type": "image/png", "content-length": "100" }).write("x");
    } else response.writeHead(200, { "content-type": "image/png" }).end(url.padEnd(1_000, "."));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // listening on TCP, so it is one
  return { url: `http://127.0.0.1:${port}`, seen, waiting };
}

/** A worker at a simulator, and jobs that render for so long with one input from the host. */
async function openHouse(settings: Readonly<Record<string, string>> = {}) {
  const house = await setup();
  const host = await startHost();
  const simulator = await house.simulator();
  const worker = await house.worker(simulator.url, settings);
  const submit = (path: string, ms = 20) => {
    const workflow = {
      ...sleeper(ms, Math.ceil(ms / 20)),
      "5": { class_type: "PrimitiveString", inputs: { value: "" } },
    };
    return house.submit(workflow, { inputs: { "5.inputs.value": `${host.url}${path}` } });
  };
  const isRendering = (job: { readonly stage: string | null }) => job.stage === "rendering";
  const uploads = () => simulator.stats().uploads.count;
  const startsOf = () => simulator.stats().prompts.map(({ job, started }) => [job, started]);
  return { house, host, simulator, worker, submit, isRendering, uploads, startsOf };
}

test("while a job renders, the inputs of the next two are brought, in the order of their claims, and not fetched again", async () => {
  const { house, host, submit, isRendering, uploads, startsOf } = await openHouse();
  const first = await submit("/0", 60_000);
  await house.until(first, isRendering);
  const next = [await submit("/1"), await submit("/2"), await submit("/3")];
  await eventually(() => uploads() === 3);
  expect(host.seen).toEqual(["/0", "/1", "/2"]);
  expect(startsOf()).toEqual([[first, 1]]); // nobody has claimed anything
  expect(
    (await Promise.all(next.map((id) => house.read(id)))).map(({ status, attempts }) => [status, attempts]),
  ).toEqual(next.map(() => ["queued", 0]));
  await house.producer.cancel("default", first);
  for (const id of next) expect(await house.until(id, isEnded)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect(host.seen.toSorted()).toEqual(["/0", "/1", "/2", "/3"]);
});

test("a source that is stuck ahead stops neither the render nor the jobs behind, and its attempt goes on with the same fetch", async () => {
  const { house, host, submit, isRendering, uploads } = await openHouse();
  const first = await submit("/0", 3_000);
  await house.until(first, isRendering);
  const stuck = await submit("/stuck");
  const behind = await submit("/2");
  await eventually(() => host.waiting.size === 1 && uploads() === 2);
  expect(await house.until(first, isEnded)).toMatchObject({ status: "succeeded" });
  await house.until(stuck, ({ stage }) => stage === "preparing");
  for (const response of host.waiting) response.end(Buffer.alloc(99));
  for (const id of [stuck, behind]) expect(await house.until(id, isEnded)).toMatchObject({ status: "succeeded" });
  expect(host.seen).toEqual(["/0", "/stuck", "/2"]);
});

test("a job that is canceled while its input is brought leaves no connection, and the next takes its place", async () => {
  const { house, host, worker, submit, isRendering, uploads } = await openHouse({ COMFYQ_STAGE_AHEAD_JOBS: "1" });
  const first = await submit("/0", 60_000);
  await house.until(first, isRendering);
  const unwanted = await submit("/stuck");
  await eventually(() => host.waiting.size === 1);
  await house.producer.cancel("default", unwanted);
  await eventually(() => host.waiting.size === 0);
  await submit("/2");
  await eventually(() => uploads() === 2);
  await worker.close();
});

test("a failure ahead is silent: the attempt meets it, and tells", async () => {
  const { house, submit, isRendering, uploads } = await openHouse();
  const first = await submit("/0", 60_000);
  await house.until(first, isRendering);
  const bad = await house.submit(sleeper(20, 1), { inputs: { "1.inputs.value": "http://169.254.169.254/latest" } });
  const good = await submit("/2");
  await eventually(() => uploads() === 2);
  await house.producer.cancel("default", first);
  expect(await house.until(bad, isEnded)).toMatchObject({ status: "failed", error: { code: "input_unavailable" } });
  expect(await house.until(good, isEnded)).toMatchObject({ status: "succeeded" });
});

test("more bytes than may be brought ahead are left to the attempt", async () => {
  const { house, host, submit, isRendering, uploads } = await openHouse({ COMFYQ_STAGE_AHEAD_BYTES: "1500" });
  const first = await submit("/0", 60_000);
  await house.until(first, isRendering);
  const next = [await submit("/1"), await submit("/2")];
  await eventually(() => host.seen.length === 3);
  await eventually(() => uploads() === 2);
  await house.producer.cancel("default", first);
  for (const id of next) expect(await house.until(id, isEnded)).toMatchObject({ status: "succeeded" });
  expect(uploads()).toBe(3);
});

test("with nothing to be brought ahead, nobody looks", async () => {
  const { house, host, submit, isRendering } = await openHouse({ COMFYQ_STAGE_AHEAD_JOBS: "0" });
  const first = await submit("/0", 1_000);
  await house.until(first, isRendering);
  const next = await submit(`/${randomUUID()}`);
  expect(await house.until(first, isEnded)).toMatchObject({ status: "succeeded" });
  await house.until(next, isEnded);
  expect(host.seen).toHaveLength(2);
});

test("a budget of bytes is for all accounts together, and a closed one counts no more", () => {
  const budget = createByteBudget(10);
  const [one, other] = [budget.open(), budget.open()];
  one.take(6);
  expect(() => other.take(5)).toThrow("10 bytes");
  other.take(4);
  one.close();
  one.take(100); // it is its own job's by now
  other.take(6);
  expect(() => other.take(1)).toThrow();
});

test("of two workers one gets ready for one job more: whichever of them takes it, its input is there", async () => {
  const { house, host, worker, submit, isRendering, uploads } = await openHouse({ COMFYQ_STAGE_AHEAD_JOBS: "1" });
  await house.worker((await house.simulator()).url, { COMFYQ_STAGE_AHEAD_JOBS: "0" });
  await eventually(async () => (await worker.tools.neighbours()).length === 1);
  const running = [await submit("/0", 60_000), await submit("/1", 60_000)];
  for (const id of running) await house.until(id, isRendering);
  for (const path of ["/2", "/3", "/4"]) await submit(path);
  await eventually(() => uploads() === 3); // of its own job, and of the next two
  expect(host.seen.toSorted()).toEqual(["/0", "/1", "/2", "/3"]);
  for (const id of running) await house.producer.cancel("default", id);
});
