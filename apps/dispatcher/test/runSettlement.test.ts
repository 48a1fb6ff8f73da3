import { randomUUID } from "node:crypto";
import { NewJob } from "@comfyq/contract";
import { BatchHead, openErrands, openProducer, type Settlement } from "@comfyq/queue";
import { startPrivateRedis } from "@comfyq/queue/testing";
import { afterAll, expect, test, vi } from "vitest";
import { runSettlement } from "../src/runSettlement.ts";

const PUBLIC_URL = "http://comfyq.example";
const workflow = {
  "1": { class_type: "EmptyImage", inputs: { width: 8 } },
  "2": { class_type: "SaveImage", inputs: {} },
};
const redis = await startPrivateRedis();
const producer = await openProducer({ redisUrl: redis.url });
const settlements: Settlement[] = [];
const idle = async () => {};
const errands = await openErrands({
  redisUrl: redis.url,
  run: {
    settlement: async (settlement) => void settlements.push(settlement), // run by the tests themselves
    delivery: () => Promise.reject(new Error("nothing is sent here")),
    answer: idle,
    errand: idle,
    tick: idle,
  },
});
const { room } = errands;
afterAll(async () => {
  await Promise.all([producer.close(), errands.close()]);
  await redis.close();
});

async function settlementOf(jobId: string): Promise<Settlement> {
  return vi.waitFor(() => {
    const found = settlements.find((one) => one.jobId === jobId);
    if (!found) throw new Error("it is not settled yet");
    return found;
  }, 10_000);
}

/** What this process asks of Redis about one of these ids; what its scripts do in there is not counted. */
async function questionsAbout(ids: readonly string[], act: () => Promise<void>): Promise<readonly string[]> {
  const monitor = await room.redis.monitor();
  const seen: string[] = [];
  monitor.on("monitor", (_time: string, args: readonly string[], source: string) => {
    if (source !== "lua") seen.push(args.join(" "));
  });
  await act();
  await room.redis.echo("that was all");
  await vi.waitFor(() => expect(seen).toContain("echo that was all"), 10_000);
  monitor.disconnect();
  const others = `${room.names.settlementsQueue}:`; // BullMQ's own, about the settlement that it has just run
  return seen.filter((line) => !line.includes(others) && ids.some((id) => line.includes(id)));
}

async function endedRow(): Promise<{ readonly batchId: string; readonly settlement: Settlement }> {
  const batchId = randomUUID();
  const job = NewJob.parse({ workflow });
  await producer.batches.commit({
    id: batchId,
    tenant: "acme",
    head: BatchHead.parse({ ...job }),
    request: { workflow, inputs: {}, files: {} },
    rows: [{ params: {} }, { params: {} }],
    bodySha256: "x",
    canonicalSha256: "y",
    sealedSecrets: undefined,
  });
  await producer.batches.work(batchId, { signal: new AbortController().signal });
  const [row] = (await producer.batches.rows("acme", batchId, { from: 0, limit: 1 })) ?? [];
  const jobId = row?.jobId ?? "";
  await producer.cancel("acme", jobId);
  return { batchId, settlement: await settlementOf(jobId) };
}

test("the end of a batch's row that nobody wants to hear of costs four looks, and its batch knows of it", async () => {
  await runSettlement(room, (await endedRow()).settlement, PUBLIC_URL); // from now on Redis knows the scripts
  const { batchId, settlement } = await endedRow();
  const asked = await questionsAbout([batchId, settlement.jobId], () => runSettlement(room, settlement, PUBLIC_URL));
  expect(asked).toHaveLength(4); // its record, its end, the tries of its row, and the note of its end
  expect(await producer.batches.read("acme", batchId)).toMatchObject({ counts: { canceled: 1, queued: 1 } });
  expect(await room.deliveries.count()).toBe(0);
});

test("the end of a job without a webhook is told to the endpoints that want it, and to no others", async () => {
  const shown = { url: "https://example.com/", description: "", metadata: {}, headerNames: [] };
  const times = { createdAtMs: 1, updatedAtMs: 1, disabledReason: null, disabledAtMs: null };
  const endpoint = (events: readonly string[]) => ({
    ...{ v: 1 as const, id: randomUUID(), ...shown, ...times, status: "enabled" as const, events: [...events] },
    secrets: [{ sealed: "v1.", untilMs: null }],
  });
  const [wants, other] = [endpoint(["job.canceled"]), endpoint(["job.started"])];
  for (const one of [wants, other]) await producer.webhooks.add("acme", one);
  const { settlement } = await endedRow();
  await runSettlement(room, settlement, PUBLIC_URL);
  const queued = await room.deliveries.getJobs();
  expect(queued.map(({ data }) => data.endpointId)).toEqual([wants.id]);
});
