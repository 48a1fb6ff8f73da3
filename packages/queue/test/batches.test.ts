import { randomUUID } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import type { BatchSubmission } from "../src/commitBatch.ts";
import {
  BatchHead,
  batchCaredFor,
  careForBatch,
  neglectedBatches,
  noteRowEnd,
  readSettled,
  sweepBatches,
  sweepRetention,
} from "../src/index.ts";
import { claimOne, GRAPH, manifestFor, nodeFailed, setup } from "./setup.ts";

const house = await setup();
afterAll(() => house[Symbol.asyncDispose]());
const { batches } = house.producer;
const tester = await house.claimer("tester", { pool: "unused" });
const { room } = tester;
const NEVER = new AbortController().signal;

function submission(rows: number, more: Partial<BatchSubmission> & { readonly pool?: string } = {}): BatchSubmission {
  const { pool = `p${randomUUID()}`, ...rest } = more;
  return {
    id: randomUUID(),
    tenant: "t",
    head: BatchHead.parse({ pool }),
    request: { workflow: GRAPH, inputs: {}, files: {} },
    rows: Array.from({ length: rows }, (_, row) => ({ params: { "1.inputs.width": row } })),
    bodySha256: "x",
    canonicalSha256: "y",
    sealedSecrets: "sealed",
    ...rest,
  };
}

async function commit(rows: number, more: Parameters<typeof submission>[1] = {}) {
  const batch = submission(rows, more);
  expect(await batches.commit(batch)).toBe(false);
  return batch;
}

const waitingIn = (pool: string) => room.redis.zcard(room.names.bull(room.names.jobsQueue(pool), "prioritized"));
const noteEndOf = async (jobId: string) => noteRowEnd(room, await readSettled(room, { tenant: "t", jobId }));
const rowsOf = async (id: string) => (await batches.rows("t", id, { from: 0, limit: 1_000 })) ?? [];

test("a batch is one job for each row, in the order of its rows, and each carries the shared graph with its own values", async () => {
  const batch = await commit(120);
  await batches.work(batch.id, { signal: NEVER });
  expect(await batches.read("t", batch.id)).toMatchObject({
    status: "running",
    counts: { total: 120, queued: 120 },
    round: 1,
  });
  expect(await room.redis.hexists(room.names.record((await rowsOf(batch.id))[0]?.jobId ?? ""), "secrets")).toBe(0);
  const claimer = await house.claimer(undefined, { pool: batch.head.pool });
  for (let row = 0; row < 3; row += 1) {
    const held = await claimOne(claimer);
    expect(held.request.workflow["1"]?.inputs).toEqual({ width: row });
    expect(held.sealedSecrets).toBe("sealed");
    expect(held.head.batch).toEqual({ id: batch.id, row });
    await held.end({ kind: "give_back", reason: "enough seen" });
    await house.producer.cancel("t", held.id);
  }
  expect(await house.producer.workflow("t", (await rowsOf(batch.id))[7]?.jobId ?? "")).toMatchObject({
    "1": { inputs: { width: 7 } },
  });
});

test("three who make the jobs of one batch at once, and one of them twice, make each job once", async () => {
  const batch = await commit(230);
  await Promise.all([1, 2, 3].map(() => batches.work(batch.id, { signal: NEVER })));
  await batches.work(batch.id, { signal: NEVER });
  expect(await waitingIn(batch.head.pool)).toBe(230);
  expect(await room.redis.hget(room.names.reserved, batch.head.pool)).toBe("0");
});

test("a batch whose maker died is due again after its lease, goes on where it was, and is then left alone", async () => {
  const batch = await commit(200);
  const died = new AbortController();
  await batches.work(batch.id, { signal: died.signal, onStep: async () => died.abort() });
  expect(await waitingIn(batch.head.pool)).toBe(50);
  expect(await neglectedBatches(room)).not.toContain(batch.id);
  await room.redis.zadd(room.names.batchCare, "XX", 1, batch.id); // its lease is over
  expect(await neglectedBatches(room)).toContain(batch.id);
  const spokenFor = await careForBatch(room, batch.id, { signal: NEVER });
  await batchCaredFor(room, batch.id, spokenFor ?? 0);
  expect(await waitingIn(batch.head.pool)).toBe(200);
  expect(await room.redis.zscore(room.names.batchCare, batch.id)).toBe(null);
});

test("a wish to cancel that comes while its jobs are made is not forgotten with the note that they are made", async () => {
  const batch = await commit(60);
  const spokenFor = await careForBatch(room, batch.id, { signal: NEVER });
  await batches.cancel("t", batch.id);
  await batchCaredFor(room, batch.id, spokenFor ?? 0);
  expect(await room.redis.zscore(room.names.batchCare, batch.id)).not.toBe(null);
});

test("a batch fits as a whole under its pool's cap or not at all, and its rows count as waiting before their jobs are made", async () => {
  const cap = room.settings.queueCap;
  const pool = `p${randomUUID()}`;
  await room.redis.hset(room.names.reserved, pool, cap - 100);
  const tooMany = submission(101, { pool });
  await expect(batches.commit(tooMany)).rejects.toMatchObject({ code: "full" });
  expect(await batches.read("t", tooMany.id)).toBeUndefined();
  expect(await room.redis.keys(`${room.names.batch(tooMany.id)}*`)).toEqual([]);
  const fits = await commit(100, { pool });
  await expect(house.submit({ pool })).rejects.toMatchObject({ code: "full" });
  await batches.work(fits.id, { signal: NEVER }); // its own jobs have their place
  expect(await waitingIn(pool)).toBe(100);
});

test("the same id again with the same body is the same batch, in any order of its keys; with another it is refused", async () => {
  const batch = await commit(3);
  expect(await batches.commit(batch)).toBe(true);
  expect(await batches.commit({ ...batch, bodySha256: "other spelling" })).toBe(true);
  await expect(batches.commit({ ...batch, bodySha256: "z", canonicalSha256: "z" })).rejects.toMatchObject({
    code: "key_reuse",
  });
  expect(await batches.isRepeat(batch)).toBe(true);
  expect(await batches.isRepeat({ ...batch, tenant: "other" })).toBe(false);
});

test("to another tenant a batch is as one that never was", async () => {
  const { id } = await commit(2);
  expect(await batches.read("other", id)).toBeUndefined();
  expect(await batches.rows("other", id, { from: 0, limit: 9 })).toBeUndefined();
  expect(await batches.cancel("other", id)).toBeUndefined();
  expect(await batches.retry("other", id, ["failed"])).toBeUndefined();
  expect((await batches.list({ tenant: "other", limit: 9 })).batches).toEqual([]);
});

/** Runs waiting rows to their end, as workers and a dispatcher would. @returns how often the batch was seen to have ended */
async function finish(pool: string, endOf: (n: number) => "succeeded" | "failed"): Promise<number> {
  const claimer = await house.claimer(undefined, { pool });
  let told = 0;
  for (let n = 0; (await waitingIn(pool)) > 0; n += 1) {
    const held = await claimOne(claimer);
    const manifest = manifestFor(held);
    await held.end(endOf(n) === "succeeded" ? { kind: "succeeded", manifest } : { kind: "failed", error: nodeFailed });
    for (let twice = 0; twice < 2; twice += 1) if (await noteEndOf(held.id)) told += 1;
  }
  return told;
}

test("ends are counted once each, and the last one completes the batch; failed rows run again and the batch completes again", async () => {
  const batch = await commit(5);
  const { pool } = batch.head;
  await batches.work(batch.id, { signal: NEVER });
  expect(await finish(pool, (n) => (n % 2 === 0 ? "failed" : "succeeded"))).toBe(2); // the last, noted twice
  const ended = await batches.read("t", batch.id);
  expect(ended).toMatchObject({ status: "completed", progress: 1, counts: { succeeded: 2, failed: 3, queued: 0 } });
  const before = await rowsOf(batch.id);
  const again = await batches.retry("t", batch.id, ["failed"]);
  expect(again).toMatchObject({ status: "running", round: 2, counts: { queued: 3, succeeded: 2 }, completed_at: null });
  await batches.retry("t", batch.id, ["failed"]); // nothing has failed now
  await batches.work(batch.id, { signal: NEVER });
  expect(await waitingIn(pool)).toBe(3);
  // A settlement of the first try that comes late changes nothing.
  expect(await noteEndOf(before[0]?.jobId ?? "")).toBeUndefined();
  await finish(pool, () => "succeeded");
  expect(await batches.read("t", batch.id)).toMatchObject({ status: "completed", round: 2, counts: { succeeded: 5 } });
  const after = await rowsOf(batch.id);
  expect(after[0]).toMatchObject({ status: "succeeded", earlierJobIds: [before[0]?.jobId] });
  expect(after[1]).toMatchObject({ status: "succeeded", jobId: before[1]?.jobId, earlierJobIds: [] });
});

test("a canceled batch makes no further job, cancels those that wait, and has ended when all have", async () => {
  const batch = await commit(130);
  const stop = new AbortController();
  await batches.work(batch.id, { signal: stop.signal, onStep: async () => stop.abort() });
  expect(await batches.cancel("t", batch.id)).toMatchObject({
    status: "canceling",
    counts: { canceled: 80, queued: 50 },
  });
  await batches.work(batch.id, { signal: NEVER });
  expect(await waitingIn(batch.head.pool)).toBe(0);
  await expect(batches.retry("t", batch.id, ["canceled"])).rejects.toMatchObject({ code: "conflict" });
  for (const { jobId } of await rowsOf(batch.id)) if (jobId) await noteEndOf(jobId);
  expect(await batches.read("t", batch.id)).toMatchObject({ status: "canceled", counts: { canceled: 130 } });
  expect(await room.redis.hget(room.names.reserved, batch.head.pool)).toBe("0");
  expect(await batches.cancel("t", batch.id)).toMatchObject({ status: "canceled" });
  expect(await batches.retry("t", batch.id, ["canceled"])).toMatchObject({ status: "running", round: 2 });
});

test("one that has completed cannot be canceled any more", async () => {
  const batch = await commit(1);
  await batches.work(batch.id, { signal: NEVER });
  await finish(batch.head.pool, () => "succeeded");
  await expect(batches.cancel("t", batch.id)).rejects.toMatchObject({ code: "conflict" });
});

test("a job that an operator takes out of the queue is a canceled row, and its batch still ends", async () => {
  const batch = await commit(1);
  await batches.work(batch.id, { signal: NEVER });
  const jobId = (await rowsOf(batch.id))[0]?.jobId ?? "";
  await (await room.jobs(batch.head.pool).getJob(jobId))?.remove();
  expect(await noteEndOf(jobId)).toMatchObject({ facts: { status: "completed", counts: { canceled: 1 } } });
});

test("batches are listed newest first, a page at a time", async () => {
  const tenant = `t${randomUUID().slice(0, 8)}`;
  const ids: string[] = [];
  for (let n = 0; n < 5; n += 1) ids.unshift((await commit(1, { tenant })).id);
  const first = await batches.list({ tenant, limit: 3 });
  const second = await batches.list({ tenant, limit: 3, cursor: first.nextCursor });
  const listed = [...first.batches, ...second.batches].map(({ id }) => id);
  expect(new Set(listed)).toEqual(new Set(ids));
  expect(listed).toHaveLength(5);
  expect(second.nextCursor).toBeUndefined();
});

test("an ended batch is swept after its jobs, and nothing is left of it", async () => {
  const batch = await commit(2);
  await batches.work(batch.id, { signal: NEVER });
  await finish(batch.head.pool, () => "succeeded");
  expect(await sweepBatches(room)).toBe(0); // it is kept
  for (const { jobId } of await rowsOf(batch.id)) await room.redis.zadd(room.names.retention, 1, jobId ?? "");
  await room.redis.zadd(room.names.batchRetention, 1, batch.id);
  await sweepRetention({ ...room, retentionMs: -1 }, async () => {});
  expect(await sweepBatches(room)).toBe(1);
  expect(await room.redis.keys(`*${batch.id}*`)).toEqual([]);
  expect(await batches.read("t", batch.id)).toBeUndefined();
});

test("a row that waits has no stream of its own, and whoever watches it is shown that it waits, and how it ends", async () => {
  const batch = await commit(1);
  await batches.work(batch.id, { signal: NEVER });
  const jobId = (await rowsOf(batch.id))[0]?.jobId ?? "";
  expect(await room.redis.exists(room.names.events(jobId))).toBe(0);
  const watched: string[] = [];
  for await (const { event } of house.producer.watch({ tenant: "t", jobId, signal: NEVER })) {
    if (event.event === "status") watched.push(event.data.status);
    if (watched.length === 1) await house.producer.cancel("t", jobId);
  }
  expect(watched).toEqual(["queued", "canceled"]);
});
