import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { Job } from "@comfyq/contract";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { example, sampling } from "./graphs.ts";
import { type Running, startProcess } from "./processes.ts";
import { isFinished, setup } from "./setup.ts";

// Faults 7 and 55 to 60 of the matrix, between the dispatcher and who is to be told. Most need no GPU: a job that is
// canceled while it waits has ended too.
const OPERATOR_KEY = "operator key of these tests";
const system = await setup({ timeScale: 0.2, env: { COMFYQ_OPERATOR_KEY: OPERATOR_KEY } });
afterAll(() => system[Symbol.asyncDispose]());

const patience = { timeout: 40_000, interval: 50 };

interface Arrival {
  readonly id: string | undefined;
  readonly body: string;
  readonly atMs: number;
}

interface Receiver {
  readonly url: string;
  readonly arrivals: readonly Arrival[];
  /** Refuses connections until `open`. */
  shut(): Promise<void>;
  open(): Promise<void>;
}

/** A receiver that takes each event in and then answers as told; the `at`th answer, and every one after the last. */
async function receiver(...answers: readonly RequestListener[]): Promise<Receiver> {
  const arrivals: Arrival[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const answer = answers[Math.min(arrivals.length, answers.length - 1)];
    const body = Buffer.concat(chunks).toString();
    arrivals.push({ id: request.headers["webhook-id"]?.toString(), body, atMs: performance.now() });
    answer?.(request, response);
  });
  let port = 0;
  const open = async () => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as AddressInfo).port; // a TCP server's address is never a string
  };
  const shut = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  await open();
  onTestFinished(shut);
  return { url: `http://127.0.0.1:${port}/hook`, arrivals, shut, open };
}

const accept: RequestListener = (_request, response) => void response.writeHead(204).end();
const hangUp: RequestListener = (request) => void request.socket.destroy();

/** A job that ends at once, and whose end is to be told. */
async function cancelOne(url: string): Promise<Job> {
  // Nobody takes jobs of this pool, so it waits until it is canceled.
  const job = await system.submit({ workflow: example("model-free"), pool: "nobody", webhook: { url } });
  await system.post(`/v1/jobs/${job.id}/cancel`);
  return job;
}

/** Once in its life this file's own dispatcher dies where `failPoint` says; another one then goes on. */
async function withDoomedDispatcher(failPoint: string, act: () => Promise<void>): Promise<void> {
  const env = { ...system.env, COMFYQ_PUBLIC_URL: system.url };
  await running.stop("SIGKILL");
  running = await startProcess("dispatcher", { env: { ...env, FAILPOINT: `${failPoint}:kill9@1` } });
  await act();
  expect(await running.ended()).toBeNull(); // by a signal
  running = await startProcess("dispatcher", { env });
}
let running: Running = system.dispatcher;
afterAll(() => running.stop("SIGKILL"));

/** Every arrival so far is the same event: one id, the same bytes. */
function expectOneEvent({ arrivals }: Receiver): void {
  expect(new Set(arrivals.map(({ id }) => id)).size).toBe(1);
  expect(new Set(arrivals.map(({ body }) => body)).size).toBe(1);
}

test("a dispatcher that dies after the receiver has answered sends the event again: same id, same bytes", async () => {
  const sink = await receiver(accept);
  await withDoomedDispatcher("delivered", () => cancelOne(sink.url).then(() => undefined));
  await vi.waitFor(() => expect(sink.arrivals).toHaveLength(2), patience);
  expectOneEvent(sink);
}, 60_000);

test("a dispatcher that dies after it queued the event, before that was acknowledged, has it sent once", async () => {
  const sink = await receiver(accept);
  const other = await receiver(accept);
  await withDoomedDispatcher("announced", () => cancelOne(sink.url).then(() => undefined));
  await vi.waitFor(() => expect(sink.arrivals).toHaveLength(1), patience);
  await vi.waitFor(
    async () => expect(await system.redisCommand("LLEN", "comfyq:settlements:active")).toBe("0"),
    patience,
  );
  const later = await cancelOne(other.url); // after the repeated settlement, so what that queued is there by now
  await vi.waitFor(() => expect(other.arrivals).toHaveLength(1), patience);
  expect(JSON.parse(other.arrivals[0]?.body ?? "{}")).toMatchObject({ data: { job: { id: later.id } } });
  expect(sink.arrivals).toHaveLength(1);
}, 60_000);

test("a receiver that takes the event and hangs up before it has answered gets it again: same id, same bytes", async () => {
  const sink = await receiver(hangUp, accept);
  await cancelOne(sink.url);
  await vi.waitFor(() => expect(sink.arrivals).toHaveLength(2), patience);
  expectOneEvent(sink);
}, 60_000);

test("a receiver that is away gets its event when it is back; the GPU does not wait for it", async () => {
  const sink = await receiver(accept);
  await sink.shut();
  const told = await system.submit({ workflow: sampling(1), webhook: { url: sink.url } });
  expect(await system.until(told.id, isFinished)).toMatchObject({ status: "succeeded" });
  await vi.waitFor(() => expect(running.log()).toContain("webhook did not arrive"), patience);
  const next = await system.submit({ workflow: sampling(1) });
  expect(await system.until(next.id, isFinished)).toMatchObject({ status: "succeeded", attempts: 1 });
  expect(sink.arrivals).toEqual([]);
  await sink.open();
  await vi.waitFor(() => expect(sink.arrivals).toHaveLength(1), { ...patience, timeout: 90_000 });
  expect(JSON.parse(sink.arrivals[0]?.body ?? "{}")).toMatchObject({
    type: "job.succeeded",
    data: { job: { id: told.id } },
  });
}, 120_000);

test("a receiver that answers 429 and when to come back is not asked before", async () => {
  const slowDown: RequestListener = (_request, response) => void response.writeHead(429, { "retry-after": "4" }).end();
  const sink = await receiver(slowDown, accept);
  await cancelOne(sink.url);
  await vi.waitFor(() => expect(sink.arrivals).toHaveLength(2), patience);
  const [first, second] = sink.arrivals;
  expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThan(3_900); // the schedule alone would take a second
  expectOneEvent(sink);
}, 60_000);

test("an event that was given up is kept, and an operator sends it again: same id, same bytes", async () => {
  const gone: RequestListener = (_request, response) => void response.writeHead(410).end();
  const sink = await receiver(gone, accept);
  await cancelOne(sink.url);
  await vi.waitFor(() => expect(sink.arrivals).toHaveLength(1), patience);
  const id = String(sink.arrivals[0]?.id);
  await vi.waitFor(
    async () => expect(await system.redisCommand("ZSCORE", "comfyq:deliveries:failed", id)).not.toBe(""),
    patience,
  );
  const password = Buffer.from(`operator:${OPERATOR_KEY}`).toString("base64");
  const answer = await fetch(`${system.url}/admin/queues/api/queues/deliveries/${id}/retry`, {
    method: "PUT",
    headers: { authorization: `Basic ${password}` },
  });
  expect(answer.status).toBe(204);
  await vi.waitFor(() => expect(sink.arrivals).toHaveLength(2), patience);
  expectOneEvent(sink);
}, 60_000);
