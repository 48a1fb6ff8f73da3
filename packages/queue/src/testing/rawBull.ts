import { Queue, QueueEvents, Worker } from "bullmq";
import { monotonicMs, sleep } from "../clock.ts";
import { connectRedis } from "../connection.ts";

/** What BullMQ alone does of a job: the baseline of benchmarks. */
export interface RawQueue extends AsyncDisposable {
  /** As a plain `queue.add`. */
  add(payload: unknown): Promise<void>;
  /** As a plain `queue.addBulk`. */
  addBulk(payloads: readonly unknown[]): Promise<void>;
  /** Adds and waits for the event of its end. @returns what the processor returned */
  addAndWait(payload: unknown): Promise<unknown>;
}

const PREFIX = "raw";
const NAME = "jobs";

export async function openRawQueue(redisUrl: string): Promise<RawQueue> {
  const redis = connectRedis(redisUrl, "worker");
  const queue = new Queue(NAME, { connection: redis, prefix: PREFIX });
  const events = new QueueEvents(NAME, { connection: redis, prefix: PREFIX });
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
  return {
    add: async (payload) => void (await queue.add("job", payload)),
    addBulk: async (payloads) => void (await queue.addBulk(payloads.map((data) => ({ name: "job", data })))),
    addAndWait: async (payload) => (await queue.add("job", payload)).waitUntilFinished(events),
    [Symbol.asyncDispose]: async () => {
      await Promise.all([queue.close(), events.close()]);
      redis.disconnect();
    },
  };
}

/** A worker of one job at a time, for as long as the process lives; takes `ms` for each, returns when it began, in Unix ms. */
export async function openRawWorker(redisUrl: string): Promise<void> {
  const worker = new Worker<{ readonly ms: number }, number>(
    NAME,
    async ({ data }) => {
      const startedAtMs = performance.timeOrigin + monotonicMs();
      if (data.ms > 0) await sleep(data.ms);
      return startedAtMs;
    },
    { connection: connectRedis(redisUrl, "worker"), prefix: PREFIX },
  );
  await worker.waitUntilReady();
}
