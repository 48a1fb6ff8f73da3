import { randomUUID } from "node:crypto";
import { jobFailure, Manifest, NewJob, type NewJobBody, type WorkerBeat } from "@comfyq/contract";
import type { EndpointFacts } from "../src/endpointFacts.ts";
import type { HeldJob } from "../src/heldJob.ts";
import {
  beat,
  type Claimer,
  type ClaimerOptions,
  type ClaimOptions,
  openClaimer,
  openProducer,
  type Producer,
} from "../src/index.ts";
import { type PrivateRedis, startPrivateRedis } from "../src/testing/index.ts";

export const GRAPH = {
  "1": { class_type: "EmptyImage", inputs: { width: 8 } },
  "2": { class_type: "SaveImage", inputs: {} },
};

/** An endpoint that wants these events. */
export function endpointFacts(events: readonly string[], more: Partial<EndpointFacts> = {}): EndpointFacts {
  const shown = { url: "https://example.com/", events: [...events], description: "", metadata: {}, headerNames: [] };
  const times = {
    createdAtMs: 1,
    updatedAtMs: 1,
    status: "enabled",
    disabledReason: null,
    disabledAtMs: null,
  } as const;
  return { v: 1, id: randomUUID(), ...shown, ...times, secrets: [{ sealed: "v1.", untilMs: null }], ...more };
}

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
export async function claimOne(claimer: Claimer, options: ClaimOptions = {}): Promise<HeldJob> {
  for (;;) {
    const held = await claimer.claim(options);
    if (held) return held;
  }
}

/** Lets several workers claim beside each other until one of them has a job; there may be one job only. */
export async function claimAmong(...claimers: readonly Claimer[]): Promise<HeldJob> {
  const found: HeldJob[] = [];
  const claimOnAndOn = async (claimer: Claimer) => {
    while (found.length === 0) found.push(...[await claimer.claim()].filter((held) => held !== undefined));
  };
  await Promise.all(claimers.map(claimOnAndOn));
  const [held] = found;
  if (!held) throw new Error("nobody claimed a job");
  return held;
}

/** Resolves when a worker waits for a job and nothing that happened before will wake it. */
export async function untilSomebodyWaits({ room }: Claimer): Promise<void> {
  const marker = room.names.bull(room.names.jobsQueue("default"), "marker");
  for (;;) {
    const blocked = /^blocked_clients:(\d+)/m.exec(await room.redis.info("clients"))?.[1];
    if (Number(blocked) > 0 && (await room.redis.exists(marker)) === 0) return;
  }
}

/** Tells the fleet that this worker lives, as its heartbeat would. */
export async function beatAs(claimer: Claimer, workerId: string, facts: Partial<WorkerBeat> = {}): Promise<void> {
  const now = new Date().toISOString();
  await beat(claimer.room, {
    id: workerId,
    pool: "default",
    instance: `i-${workerId}`,
    state: "idle",
    reason: null,
    job_id: null,
    storing: 0,
    comfyui_version: null,
    fingerprint: null,
    device: null,
    started_at: now,
    beat_at: now,
    ...facts,
  });
}

/** Takes the lock of a job away, as if its holder had not renewed it in time. */
export async function endLock({ room }: Claimer, jobId: string): Promise<void> {
  await room.redis.del(`${room.names.bull(room.names.jobsQueue("default"), jobId)}:lock`);
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
