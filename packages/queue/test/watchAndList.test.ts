import { type JobEvent, jobFailure } from "@comfyq/contract";
import { expect, test, vi } from "vitest";
import type { WatchedEvent } from "../src/index.ts";
import { appendEvent } from "../src/jobEvents.ts";
import { progressField } from "../src/record.ts";
import { claimOne, manifestFor, setup } from "./setup.ts";

const signal = new AbortController().signal;
const progress = (value: number) => ({
  value,
  nodes_done: 0,
  nodes_total: 2,
  current_node: "1",
  current_node_class: "KSampler",
  step: 1,
  steps: 4,
  message: null,
});

async function all(events: AsyncGenerator<WatchedEvent>): Promise<WatchedEvent[]> {
  const seen: WatchedEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

const statuses = (events: readonly WatchedEvent[]) =>
  events.flatMap(({ event }) => (event.event === "status" ? [event.data.status] : []));

test("a watch begins with where the job is, shows progress, and ends after the terminal status", async () => {
  await using house = await setup();
  const id = await house.submit();
  const watching = all(house.producer.watch({ tenant: "default", jobId: id, signal }));
  const held = await claimOne(await house.claimer());
  await held.journal({ instance: "i" });
  held.report(progress(0.5));
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  const events = await watching;
  expect(statuses(events).at(0)).toBe("queued");
  expect(statuses(events).at(-1)).toBe("succeeded");
  expect(events.map(({ event }) => event.event)).toContain("progress");
});

test("progress never goes back for a watch that begins while it is being written", async () => {
  await using house = await setup();
  const id = await house.submit();
  const { room } = await house.claimer();
  const held = await claimOne(await house.claimer());
  await held.journal({ instance: "i" });
  const values = async () => {
    const watched = await all(house.producer.watch({ tenant: "default", jobId: id, signal }));
    return watched.flatMap(({ event }) => (event.event === "progress" ? [event.data.value] : []));
  };
  // As a holder writes it, but as fast as Redis takes it.
  const watches: Promise<number[]>[] = [];
  for (let at = 1; at <= 400; at += 1) {
    const latest = progress(at / 400);
    if (at % 4 === 0) watches.push(values());
    await room.redis.hset(room.names.attempts(id), progressField(held.epoch), JSON.stringify(latest));
    await appendEvent(room, id, { event: "progress", data: { ...latest, attempt: held.epoch } });
  }
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  const seen = await Promise.all(watches);
  expect(seen.filter((list) => list.some((value, at) => value < (list[at - 1] ?? 0)))).toEqual([]);
});

test("a client that comes back with the last id it saw gets everything after it, and nothing twice", async () => {
  await using house = await setup();
  const id = await house.submit();
  const held = await claimOne(await house.claimer());
  await held.journal({ instance: "i" });
  const first: WatchedEvent[] = [];
  for await (const event of house.producer.watch({ tenant: "default", jobId: id, signal })) {
    first.push(event);
    break; // the connection drops here
  }
  await held.end({ kind: "failed", error: jobFailure("node_failed", "x") });
  const afterId = first.at(-1)?.id;
  const rest = await all(house.producer.watch({ tenant: "default", jobId: id, signal, afterId }));
  expect(statuses(rest)).toEqual(["failed"]);
});

test("the terminal status comes even when its event was lost", async () => {
  await using house = await setup();
  const id = await house.submit();
  const claimer = await house.claimer();
  const held = await claimOne(claimer);
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  await claimer.room.redis.del(claimer.room.names.events(id));
  const events = await all(house.producer.watch({ tenant: "default", jobId: id, signal, afterId: "0-1" }));
  expect(statuses(events)).toEqual(["succeeded"]);
});

test("a preview reaches who watches now, and is not kept", async () => {
  await using house = await setup();
  const id = await house.submit();
  const claimer = await house.claimer();
  const held = await claimOne(claimer);
  await held.journal({ instance: "i" });
  const preview: JobEvent = {
    event: "preview",
    data: { node_id: "1", content_type: "image/png", data_base64: "AAAA" },
  };
  const seen = new AbortController();
  const watching = all(house.producer.watch({ tenant: "default", jobId: id, signal: seen.signal }));
  await vi.waitFor(async () => {
    held.show(preview);
    const [, watchers] = (await claimer.room.redis.pubsub("NUMSUB", claimer.room.names.watch(id))) as [string, number];
    expect(watchers).toBe(1);
  });
  await vi.waitFor(() => held.show(preview));
  await held.end({ kind: "succeeded", manifest: manifestFor(held) });
  const events = await watching;
  expect(
    events.filter(({ event }) => event.event === "preview").every(({ id: eventId }) => eventId === undefined),
  ).toBe(true);
  const kept = await claimer.room.redis.xrange(claimer.room.names.events(id), "-", "+");
  expect(JSON.stringify(kept)).not.toContain("data_base64");
});

test("250 jobs, many of one millisecond, page newest first without loss or repeat", async () => {
  await using house = await setup();
  const ids = await Promise.all(Array.from({ length: 250 }, () => house.submit()));
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await house.producer.list({ tenant: "default", limit: 40, cursor });
    seen.push(...page.jobs.map((job) => job.id));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  expect(seen).toHaveLength(250);
  expect(new Set(seen)).toEqual(new Set(ids));
});

test("a list is filtered by status, tag and pool, and shows only one tenant's", async () => {
  await using house = await setup();
  const tagged = await house.submit({ tags: ["red"] });
  const plain = await house.submit();
  await house.submit({ pool: "big" });
  await house.submit({}, "other");
  await house.producer.cancel("default", plain);
  const list = async (filter: object) =>
    (await house.producer.list({ tenant: "default", limit: 10, ...filter })).jobs.map((job) => job.id);
  expect(await list({ tag: "red" })).toEqual([tagged]);
  expect(await list({ status: "canceled" })).toEqual([plain]);
  expect(await list({ pool: "big" })).toHaveLength(1);
  expect(await list({})).toHaveLength(3);
});
