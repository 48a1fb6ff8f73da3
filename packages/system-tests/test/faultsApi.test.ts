import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Job, type JobPage, jobFailure, type NewJobBody } from "@comfyq/contract";
import { openClaimer } from "@comfyq/queue";
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { example } from "./graphs.ts";
import { type Running, startProcess } from "./processes.ts";
import { readJson, setup } from "./setup.ts";

// Faults 41 and 61 to 65 of the matrix: what an API promises, and when it may. No GPU is needed: nobody takes these jobs.
const system = await setup({ workers: 0, proxied: true });
afterAll(() => system[Symbol.asyncDispose]());

const patience = { timeout: 30_000, interval: 50 };
const workflow = example("model-free");
const port = new URL(system.url).port;
const fresh = (word: string) => `${word}-${randomUUID().slice(0, 8)}`;

let running: Running = system.api;
afterAll(() => running.stop("SIGKILL"));

/** Ends the API and starts it again at the same address, where callers look for it. */
async function restartApi(env: Readonly<Record<string, string>> = {}): Promise<Running> {
  await running.stop("SIGKILL");
  const usual = { ...system.env, COMFYQ_PORT: port, REDIS_URL: system.lines.api.url };
  running = await startProcess("api", { env: { ...usual, ...env } });
  return running;
}

/** Submits under a key, at this API or another one. Every answer must come within five seconds. */
function submitKeyed(key: string, body: Partial<NewJobBody>, url = system.url): Promise<Response> {
  return fetch(`${url}/v1/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": key },
    body: JSON.stringify({ workflow, ...body }),
    signal: AbortSignal.timeout(5_000),
  });
}

async function tagged(tag: string): Promise<readonly Job[]> {
  return (await readJson<JobPage>(system.get(`/v1/jobs?tag=${tag}&limit=100`))).jobs;
}

/** What a client does after a fault: the same request again. It must be answered with the one job there then is. */
async function expectOneJobAfterRepeat(key: string, tag: string): Promise<Response> {
  const answer = await submitKeyed(key, { tags: [tag] });
  expect(answer.status).toBe(201);
  const { id } = await readJson<Job>(answer);
  expect((await tagged(tag)).map((job) => job.id)).toEqual([id]);
  return answer;
}

test.each(["freeze", "refuse"] as const)(
  "an API whose line to Redis is cut (%s) promises nothing: 503 at once, and the repeated request makes one job",
  async (cut) => {
    const [key, tag] = [fresh("key"), fresh("tag")];
    await system.lines.api[cut]();
    const answers = [await submitKeyed(key, { tags: [tag] }), await submitKeyed(fresh("key"), { tags: [tag] })];
    for (const answer of [...answers, await system.get("/v1/jobs")]) {
      expect(answer.status).toBe(503);
      expect(await answer.json()).toMatchObject({ error: { code: "unavailable" } });
      expect(answer.headers.get("retry-after")).toBe("2");
    }
    await system.lines.api.thaw();
    await vi.waitFor(async () => expect((await system.get("/readyz")).status).toBe(200), patience);
    await vi.waitFor(() => expectOneJobAfterRepeat(key, tag), patience);
  },
  60_000,
);

test("an API whose line to Redis breaks again and again loses no job it answered 201 for, and makes none twice", async () => {
  const tag = fresh("tag");
  const keys = Array.from({ length: 60 }, () => fresh("key"));
  const answered: string[] = [];
  let isOver = false;
  const breaking = (async () => {
    while (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
      system.lines.api.cut();
    }
  })();
  for (const key of keys) {
    const answer = await submitKeyed(key, { tags: [tag], webhook: { url: "http://127.0.0.1:9/nobody" } });
    if (answer.status === 201) answered.push((await readJson<Job>(answer)).id);
    else expect(answer.status).toBe(503);
  }
  isOver = true;
  await breaking;
  // Not /readyz: its answer may be a second old.
  await vi.waitFor(async () => expect((await system.get("/v1/jobs")).status).toBe(200), patience);
  const kept = (await tagged(tag)).map(({ id }) => id);
  expect(answered.filter((id) => !kept.includes(id))).toEqual([]);
  expect(kept.length).toBeLessThan(keys.length); // or nothing was broken, and nothing was shown
  for (const key of keys)
    expect((await submitKeyed(key, { tags: [tag], webhook: { url: "http://127.0.0.1:9/nobody" } })).status).toBe(201);
  expect(new Set((await tagged(tag)).map(({ id }) => id)).size).toBe(keys.length);
}, 60_000);

test("an API killed between judging a job and queueing it has made none; the repeated request makes one", async () => {
  const [key, tag] = [fresh("key"), fresh("tag")];
  const doomed = await restartApi({ FAILPOINT: "accepted_not_queued:kill9@1" });
  await expect(submitKeyed(key, { tags: [tag] })).rejects.toThrow("fetch failed");
  expect(await doomed.ended()).toBeNull(); // by a signal
  await restartApi();
  expect(await tagged(tag)).toEqual([]);
  const answer = await expectOneJobAfterRepeat(key, tag);
  expect(answer.headers.get("idempotency-replayed")).toBeNull();
}, 60_000);

test("an API killed after queueing a job, before it answered, has made it; the repeated request is given the same", async () => {
  const [key, tag] = [fresh("key"), fresh("tag")];
  const doomed = await restartApi({ FAILPOINT: "queued_not_answered:kill9@1" });
  await expect(submitKeyed(key, { tags: [tag] })).rejects.toThrow("fetch failed");
  expect(await doomed.ended()).toBeNull(); // by a signal
  await restartApi();
  const [made] = await tagged(tag);
  const answer = await expectOneJobAfterRepeat(key, tag);
  expect(answer.headers.get("idempotency-replayed")).toBe("true");
  expect((await tagged(tag))[0]?.id).toBe(made?.id);
}, 60_000);

test("fifty requests at once with one key, at two APIs, are one job; those with another body are refused", async () => {
  const [key, tag] = [fresh("key"), fresh("tag")];
  const second = await startProcess("api", { env: system.env });
  onTestFinished(() => void second.stop("SIGKILL"));
  const urls = [system.url, String(second.ready["url"])];
  const send = (at: number, body: Partial<NewJobBody>) => submitKeyed(key, body, urls[at % 2]);
  const answers = await Promise.all(Array.from({ length: 50 }, (_, at) => send(at, { tags: [tag] })));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
  expect(new Set(await Promise.all(answers.map(async (answer) => (await readJson<Job>(answer)).id))).size).toBe(1);
  const others = await Promise.all([0, 1].map((at) => send(at, { tags: [tag], priority: 7 })));
  expect(others.map(({ status }) => status)).toEqual([422, 422]);
  expect(await tagged(tag)).toHaveLength(1);
}, 60_000);

test("a Redis that takes nothing in any more (its memory is full) is 503, and the repeated request makes one job", async () => {
  const [key, tag] = [fresh("key"), fresh("tag")];
  await system.redisCommand("CONFIG", "SET", "maxmemory", "1mb");
  onTestFinished(() => system.redisCommand("CONFIG", "SET", "maxmemory", "0").then(() => undefined));
  expect((await submitKeyed(key, { tags: [tag] })).status).toBe(503);
  expect(await tagged(tag)).toEqual([]);
  await system.redisCommand("CONFIG", "SET", "maxmemory", "0");
  await expectOneJobAfterRepeat(key, tag);
}, 60_000);

test("a store that does not take a job's bytes is 503, no job is made, and the repeated request makes one", async () => {
  const [key, tag] = [fresh("key"), fresh("tag")];
  const loading = { "1": { class_type: "LoadImage", inputs: { image: "x" } } };
  const submitBytes = (text: string, tags: readonly string[]) => {
    const inputs = { "1.inputs.image": `data:image/png;base64,${Buffer.from(text.repeat(3_000)).toString("base64")}` };
    return submitKeyed(`${key}-${text}`, { workflow: loading, inputs, tags: [...tags] });
  };
  expect((await submitBytes("a", [])).status).toBe(201); // the store's folder is there from now on
  const files = join(system.dataDir, "files");
  await rename(files, `${files}.away`);
  await writeFile(files, "a file where the folder was");
  expect((await submitBytes("b", [tag])).status).toBe(503);
  expect(await tagged(tag)).toEqual([]);
  await rm(files);
  await rename(`${files}.away`, files);
  expect((await submitBytes("b", [tag])).status).toBe(201);
  expect(await tagged(tag)).toHaveLength(1);
}, 60_000);

test("a client that is gone in the middle of its request has submitted nothing", async () => {
  const tag = fresh("tag");
  const body = JSON.stringify({ workflow, tags: [tag] });
  const head = `POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  const left = () => running.log().split("client left before the answer was complete").length - 1;
  const leftBefore = left();
  const socket = connect(Number(port), "127.0.0.1");
  await new Promise((written) => socket.write(head + body.slice(0, -1), written));
  socket.destroy();
  await vi.waitFor(() => expect(left()).toBe(leftBefore + 1), patience);
  expect(await tagged(tag)).toEqual([]);
}, 60_000);

test("poison is found, looked at and retried from the command line", async () => {
  const poisonous = await system.submit({ workflow, pool: "poisoned" });
  const claimer = await openClaimer({ redisUrl: system.redis.url, pool: "poisoned", workerId: "w", instance: "i" });
  const held = await vi.waitUntil(() => claimer.claim(), patience);
  expect(held.id).toBe(poisonous.id);
  await held.end({ kind: "failed", error: jobFailure("poison", "its worker died twice") });
  await claimer.close();
  const comfyq = async (...args: readonly string[]) => {
    const main = ["--conditions=@comfyq/source", join(import.meta.dirname, "../../../apps/cli/src/main.ts")];
    const env = { PATH: process.env["PATH"], COMFYQ_URL: system.url };
    return (await promisify(execFile)(process.execPath, [...main, ...args], { env })).stdout;
  };
  expect(await comfyq("jobs", "--status", "failed", "--code", "poison")).toContain(`${poisonous.id}  failed  poison`);
  const chosen = ["--failed", "--code", "poison"];
  expect(await comfyq("retry", ...chosen, "--dry-run")).toContain("Would retry 1 failed job (1 poison).");
  expect(await comfyq("retry", ...chosen)).toContain("Retried 1 failed job (1 poison).");
  expect(await comfyq("retry", ...chosen)).toContain("Retried 0 failed jobs; 1 retried before is left as it is.");
  const { jobs } = await readJson<JobPage>(system.get("/v1/jobs?pool=poisoned"));
  expect(jobs.map(({ status }) => status)).toEqual(["queued", "failed"]);
}, 60_000);
