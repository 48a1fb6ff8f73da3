import { jobFailure, type Progress } from "@comfyq/contract";
import { afterAll, expect, test } from "vitest";
import { Settlement } from "../src/envelopes.ts";
import type { HeldJob } from "../src/heldJob.ts";
import { forgetIdle, leaveBusy } from "../src/idle.ts";
import { endpointFacts, setup } from "./setup.ts";

const own = await setup({ timeScale: 0.2 });
const claimer = await own.claimer();
const { room } = claimer;
afterAll(() => own[Symbol.asyncDispose]());

const hear = async (tenant: string, events: readonly string[]) => {
  const facts = endpointFacts(events);
  await own.producer.webhooks.add(tenant, facts);
  return facts.id;
};

const STATES = ["waiting", "active", "delayed", "waiting-children", "completed", "failed"] as const;

/** What the settlements queue has to tell of a job, by what it is. */
async function noticesOf(jobId: string): Promise<readonly Settlement[]> {
  const jobs = await room.settlements.getJobs([...STATES]);
  return jobs.map(({ data }) => Settlement.parse(data)).filter((notice) => notice.jobId === jobId);
}

const whatsOf = async (jobId: string) => (await noticesOf(jobId)).map(({ what }) => what).toSorted();

async function claim(): Promise<HeldJob> {
  for (;;) {
    const held = await claimer.claim();
    if (held) return held;
  }
}

const failed = { kind: "failed", error: jobFailure("node_failed", "it failed") } as const;

test.each([
  [["job.failed"], ["ended"]],
  [["queue.idle"], ["ended"]],
  [["job.queued"], ["queued"]],
  [
    ["job.queued", "job.canceled"],
    ["ended", "queued"],
  ],
  [["job.started", "batch.completed", "schedule.missed"], []],
])("a job of a tenant whose endpoints want %j waits for its telling of %j", async (events, whats) => {
  const tenant = `t-${events.join("-").replaceAll(".", "")}`.toLowerCase();
  const before = await own.submit({ pool: "told" }, tenant);
  const id = await hear(tenant, events);
  expect(await whatsOf(await own.submit({ pool: "told" }, tenant))).toEqual(whats);
  expect(await whatsOf(before)).toEqual([]); // it was queued before the endpoint was made
  await own.producer.webhooks.remove(tenant, id);
  expect(await whatsOf(await own.submit({ pool: "told" }, tenant))).toEqual([]);
});

test("what one tenant's endpoints want is nothing to another's jobs", async () => {
  await hear("curious", ["job.queued", "job.failed", "queue.idle"]);
  expect(await whatsOf(await own.submit({ pool: "told" }, "shy"))).toEqual([]);
});

test("while endpoints come and go, every job has one telling of its end or none, and never half of one", async () => {
  const going = new AbortController();
  const churn = (async () => {
    while (!going.signal.aborted) await own.producer.webhooks.remove("busy", await hear("busy", ["job.failed"]));
  })();
  const ids = await Promise.all(Array.from({ length: 60 }, () => own.submit({ pool: "churn" }, "busy")));
  going.abort();
  await churn;
  const counts = { none: 0, one: 0 };
  for (const id of ids) {
    const parent = await room.redis.hget(`comfyq:jobs-churn:${id}`, "parentKey");
    const whats = await whatsOf(id);
    expect(whats).toEqual(parent === null ? [] : ["ended"]);
    counts[parent === null ? "none" : "one"] += 1;
  }
  expect(counts.none + counts.one).toBe(60);
});

test("the last of a tenant's jobs in a pool ends one busy period, however often and by however many that is asked", async () => {
  await hear("idler", ["queue.idle"]);
  const job = async () => ({ tenant: "idler", pool: "told", jobId: await own.submit({ pool: "told" }, "idler") });
  const [a, b] = [await job(), await job()];
  expect(await noticesOf(a.jobId)).toMatchObject([{ what: "ended", busy: "told" }]);
  expect(await leaveBusy(room, a)).toBeUndefined();
  const first = await leaveBusy(room, b);
  expect(first?.number).toBe(1);
  // Its dispatcher dies here; others go on, and the next period begins and ends.
  const c = await job();
  expect(await leaveBusy(room, a)).toBeUndefined();
  expect(await leaveBusy(room, b)).toEqual(first);
  const answers = await Promise.all([1, 2, 3].map(() => leaveBusy(room, c)));
  expect(answers.map((period) => period?.number)).toEqual([2, 2, 2]);
  expect(await leaveBusy(room, b)).toEqual(first);
  await Promise.all([b, c].map((ended) => forgetIdle(room, ended)));
  expect([await leaveBusy(room, b), await leaveBusy(room, c)]).toEqual([undefined, undefined]);
});

const half: Progress = {
  ...{ value: 0.5, nodes_done: 1, nodes_total: 2, current_node: "1", current_node_class: "EmptyImage" },
  ...{ step: null, steps: null, message: null },
};

test("a start, progress and outputs are told to whom wants them; progress once while nobody has fetched it", async () => {
  const webhook = { url: "https://example.com/", events: ["job.output" as const] };
  await hear("watcher", ["job.started", "job.progress"]);
  const id = await own.submit({ webhook }, "watcher");
  const held = await claim();
  expect(held.id).toBe(id);
  const output = { node_id: "2", name: "a.png", type: "image", size_bytes: 3 } as const;
  for (let at = 0; at < 5; at += 1) held.report({ ...half, nodes_done: at });
  held.show({ event: "output", data: output });
  await expect.poll(() => whatsOf(id), { timeout: 20_000 }).toEqual(["ended", "output", "progress", "started"]);
  for (let at = 0; at < 5; at += 1) held.report(half);
  held.show({ event: "output", data: { ...output, name: "b.png" } });
  await held.end(failed);
  expect(await whatsOf(id)).toEqual(["ended", "output", "output", "progress", "started"]);
  const told = await noticesOf(id);
  expect(told).toContainEqual(expect.objectContaining({ what: "progress", epoch: 1, sequence: 1 }));
  expect(told.flatMap((notice) => (notice.what === "output" ? notice.output.name : [])).toSorted()).toEqual([
    "a.png",
    "b.png",
  ]);
});

test("nobody's wish costs nothing: a job without listeners leaves no notice behind", async () => {
  const id = await own.submit({}, "silent");
  const held = await claim();
  held.report(half);
  held.show({ event: "output", data: { node_id: "2", name: "a.png", type: "image", size_bytes: 3 } });
  await held.end(failed);
  expect(await noticesOf(id)).toEqual([]);
});
