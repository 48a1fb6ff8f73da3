import { NewJob, type NewJobBody } from "@comfyq/contract";
import { FlowProducer, type JobsOptions, Queue } from "bullmq";
import type { Redis } from "ioredis";
import { afterAll, expect, test, vi } from "vitest";
import { connectRedis } from "../src/connection.ts";
import { toBullPriority } from "../src/envelopes.ts";
import { SETTINGS } from "../src/settings.ts";
import { endpointFacts, setup } from "./setup.ts";

/** Our script writes BullMQ's keys itself, in one step with our own; here BullMQ makes the same jobs, and both are compared. */
vi.useFakeTimers({ toFake: ["Date"] }); // both write at the same moment
const own = await setup();
const redis = connectRedis(own.redis.url, "worker");
afterAll(async () => {
  vi.useRealTimers();
  redis.disconnect();
  await own[Symbol.asyncDispose]();
});

const RUN_AT = "2126-01-01T00:00:00Z";
const WEBHOOK = { url: "http://127.0.0.1/", events: ["job.succeeded" as const] };
const HEARS_QUEUED = { ...WEBHOOK, events: ["job.queued" as const] };
/** Bodies, and whether an endpoint of the tenant wants to hear of everything. */
const CASES: readonly { readonly body: Partial<NewJobBody>; readonly isHeard?: true }[] = [
  { body: {} },
  { body: { priority: 9 } },
  { body: { priority: -3, webhook: WEBHOOK } },
  { body: { run_at: RUN_AT } },
  { body: { run_at: RUN_AT, webhook: WEBHOOK } },
  { body: { webhook: HEARS_QUEUED } },
  { body: {}, isHeard: true },
  { body: { webhook: WEBHOOK, run_at: RUN_AT }, isHeard: true },
];

/** Members of `prioritized`, first to last, each with its level instead of its score. */
function levelsOf(prioritized: unknown): unknown {
  return (prioritized as string[]).map((part, at) => (at % 2 === 0 ? part : Math.floor(Number(part) / 2 ** 32)));
}

/** Every key of BullMQ's under a prefix, without the prefix. */
async function keysUnder(prefix: string): Promise<Record<string, unknown>> {
  const names = (await redis.keys(`${prefix}:*`)).filter((name) => /:(jobs-default|settlements):/.test(name)).sort();
  const read = async (name: string) => {
    const text = JSON.stringify(await contentOf(redis, name));
    return [name.slice(prefix.length + 1), JSON.parse(text.replaceAll(`${prefix}:`, ""))];
  };
  return Object.fromEntries(await Promise.all(names.map(read)));
}

async function contentOf(client: Redis, name: string): Promise<unknown> {
  const type = await client.type(name);
  if (type === "hash") return sorted(await client.hgetall(name));
  if (type === "zset") return client.zrange(name, 0, "-1", "WITHSCORES");
  if (type === "set") return (await client.smembers(name)).sort();
  if (type === "list") return client.lrange(name, 0, -1);
  if (type === "stream") return (await client.xrange(name, "-", "+")).map(([, fields]) => fields);
  return client.get(name);
}

/** `opts`, `data` and `parent` are JSON, whose keys Lua writes in no order. */
function sorted(hash: Record<string, string>): Record<string, unknown> {
  const value = (name: string, text: string) => (/^(opts|data|parent)$/.test(name) ? JSON.parse(text) : text);
  return Object.fromEntries(Object.entries(hash).map(([name, text]) => [name, value(name, text)]));
}

function optionsOf(id: string, { priority = 0, run_at }: Partial<NewJobBody>): JobsOptions {
  const delay = run_at === undefined ? 0 : Date.parse(run_at) - Date.now();
  const kept = { removeOnComplete: false, removeOnFail: false, attempts: 1, stackTraceLimit: 0 };
  return { jobId: id, priority: toBullPriority(priority), delay, ...kept };
}

test("a submission leaves in BullMQ's keys what BullMQ itself would have left", async () => {
  const settings = { connection: redis, prefix: "theirs", streams: { events: { maxLen: SETTINGS.bullEventsLength } } };
  const queues = [new Queue("jobs-default", settings), new Queue("settlements", settings)] as const;
  const flow = new FlowProducer({ connection: redis, prefix: "theirs" });
  await Promise.all(queues.map((queue) => queue.waitUntilReady()));
  await own.producer.webhooks.add("heard", endpointFacts(["job.queued", "job.failed", "queue.idle"]));
  for (const [at, { body, isHeard }] of CASES.entries()) {
    const id = `00000000-0000-7000-8000-00000000000${at}`;
    const tenant = isHeard ? "heard" : "t";
    const job = NewJob.parse({ workflow: {}, ...body });
    await own.producer.submit({ id, tenant, job, bodySha256: "x" });
    const opts = optionsOf(id, body);
    const again = { attempts: 1_000_000, backoff: { type: "fixed", delay: 5_000 }, stackTraceLimit: 1 };
    if (!body.webhook && !isHeard) await queues[0].add("job", { v: 1, tenant }, opts);
    else {
      const child = { name: "job", queueName: "jobs-default", data: { v: 1, tenant } };
      await flow.add({
        name: "settlement",
        queueName: "settlements",
        data: { v: 1, tenant, jobId: id, what: "ended", ...(isHeard && { busy: "default" }) },
        opts: { jobId: id, ...again },
        children: [{ ...child, opts: { ...opts, ignoreDependencyOnFailure: true } }],
      });
    }
    if (isHeard || body.webhook?.events?.includes("job.queued")) {
      const notice = { jobId: `${id}-queued`, removeOnComplete: true, ...again };
      await queues[1].add("queued", { v: 1, tenant, jobId: id, what: "queued" }, notice);
    }
  }
  const [ours, theirs] = [await keysUnder("comfyq"), await keysUnder("theirs")];
  // Which version opened the queue is noted by BullMQ's Queue, when somebody opens one.
  for (const name of ["jobs-default:meta", "settlements:meta"]) {
    expect(theirs[name]).toMatchObject(ours[name] as object); // a hash
    delete ours[name];
    delete theirs[name];
  }
  // A place inside a level is ours to give (turns.ts).
  delete theirs["jobs-default:pc"];
  for (const keys of [ours, theirs]) keys["jobs-default:prioritized"] = levelsOf(keys["jobs-default:prioritized"]);
  expect(ours).toEqual(theirs);
  await Promise.all([...queues, flow].map((part) => part.close()));
});

test("a job added to a paused queue wakes nobody", async () => {
  await redis.hset("comfyq:jobs-paused:meta", "paused", 1);
  await own.submit({ pool: "paused" });
  expect(await redis.exists("comfyq:jobs-paused:marker")).toBe(0);
  expect(await redis.zcard("comfyq:jobs-paused:prioritized")).toBe(1);
});

test("what a job says of itself is kept, all of it but its secrets", async () => {
  const said = {
    output: { prefix: "mine" },
    tags: ["a"],
    metadata: { b: 1 },
    timeout_s: 7,
    priority: 3,
    expires_in_s: 60,
  };
  const id = await own.submit({ ...said, secrets: { api_key_comfy_org: "hidden-word" } });
  const { head = "", request = "" } = await redis.hgetall(`comfyq:record:${id}`);
  expect(JSON.parse(head)).toMatchObject(said);
  expect(head + request).not.toContain("hidden-word");
});
