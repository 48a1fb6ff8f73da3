import { randomUUID } from "node:crypto";
import { jobFailure, Manifest, NewJob, type NewJobBody } from "@comfyq/contract";
import type { HeldJob } from "../src/heldJob.ts";
import { type Claimer, type ClaimerOptions, openClaimer, openProducer, type Producer } from "../src/index.ts";
import { type PrivateRedis, startPrivateRedis } from "../src/testing/index.ts";

export const GRAPH = {
  "1": { class_type: "EmptyImage", inputs: { width: 8 } },
  "2": { class_type: "SaveImage", inputs: {} },
};

export interface SetupOptions {
  /** Every lease, scan and wait is this much of the real one. */
  readonly timeScale?: number;
  readonly breaks?: ReadonlySet<string>;
}

export interface Setup extends AsyncDisposable {
  readonly redis: PrivateRedis;
  readonly producer: Producer;
  /** Opens one more worker's claimer; its instance is called \`i-<workerId>\`. */
  claimer(workerId?: string, options?: Partial<ClaimerOptions>): Promise<Claimer>;
  submit(body?: Partial<NewJobBody>, tenant?: string): Promise<string>;
}

/** A private Redis, one producer, and claimers as asked for; all closed at the end of the test. */
export async function setup(roomOptions: SetupOptions = {}): Promise<Setup> {
  const redis = await startPrivateRedis();
  const producer = await openProducer({ redisUrl: redis.url, ...roomOptions });
  const claimers: Claimer[] = [];
  return {
    redis,
    producer,
    claimer: async (workerId = `w${claimers.length + 1}`, options = {}) => {
      const own = { redisUrl: redis.url, pool: "default", workerId, instance: `i-${workerId}` };
      const claimer = await openClaimer({ ...own, ...roomOptions, ...options });
      claimers.push(claimer);
      return claimer;
    },
    submit: async (body = {}, tenant = "default") => {
      const id = randomUUID();
      await producer.submit({
        id,
        tenant,
        job: NewJob.parse({ workflow: GRAPH, ...body }),
        bodySha256: "0".repeat(64),
      });
      return id;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(claimers.map((claimer) => claimer.close()));
      await producer.close();
      await redis.close();
    },
  };
}

/** Claims until there is a job. */
export async function claimOne(claimer: Claimer): Promise<HeldJob> {
  for (;;) {
    const held = await claimer.claim();
    if (held) return held;
  }
}

export function manifestFor(held: HeldJob): Manifest {
  return Manifest.parse({
    v: 1,
    job_id: held.id,
    epoch: held.epoch,
    prompt_id: randomUUID(),
    instance: "http://127.0.0.1:8188",
    sealed_at: new Date().toISOString(),
    cached: false,
    metrics: { prepare_ms: 1, render_ms: 2, store_ms: 3 },
    outputs: [{ node_id: "2", name: "seed", type: "value", value: 7 }],
  });
}

export const nodeFailed = jobFailure("node_failed", "node 2 raised ValueError");
