import { FlowProducer, Queue } from "bullmq";
import type { Redis } from "ioredis";
import { nowMs } from "./clock.ts";
import { assertSafeRedis, type ConnectionStyle, connectRedis, redisFacts, untilReady } from "./connection.ts";
import { DEFAULT_PREFIX, type Names, namesUnder } from "./names.ts";
import { SETTINGS, type Settings, scaleSettings } from "./settings.ts";

/** What every step of this package works with: one connection, the names, and BullMQ's queues over them. */
export interface QueueRoom {
  readonly redis: Redis;
  readonly names: Names;
  readonly retentionMs: number;
  /** Every number of this room; `SETTINGS` unless a test runs it at another pace. */
  readonly settings: Settings;
  /** Names of parts that a test broke on purpose, to see that its checker notices. */
  readonly breaks: ReadonlySet<string>;
  /** The queue of one pool; opened once. */
  jobs(pool: string): Queue;
  readonly settlements: Queue;
  readonly deliveries: Queue;
  readonly schedules: Queue;
  readonly flow: FlowProducer;
  close(): Promise<void>;
}

export interface RoomOptions {
  /** `redis://…`, `rediss://…`, or the path of a unix socket. */
  readonly redisUrl: string;
  readonly prefix?: string | undefined;
  /** How long an ended job and its files are kept, in ms. */
  readonly retentionMs?: number | undefined;
  /** Accept a Redis without AOF or with an evicting policy. For trials only: it can lose jobs. */
  readonly allowUnsafeRedis?: boolean | undefined;
  /** Test-only: how long every lease, scan and wait is, against the real one. Default 1; all processes must agree. */
  readonly timeScale?: number | undefined;
  /** Test-only: parts to break on purpose. */
  readonly breaks?: ReadonlySet<string> | undefined;
}

/**
 * Opens the room.
 * @throws QueueError `unavailable` when no Redis answers within 10 s, `unsafe_redis` when it can lose jobs
 */
export async function openRoom(options: RoomOptions, style: ConnectionStyle): Promise<QueueRoom> {
  const names = namesUnder(options.prefix ?? DEFAULT_PREFIX);
  const redis = connectRedis(options.redisUrl, style);
  try {
    await untilReady(redis, 10_000);
    if (!options.allowUnsafeRedis) assertSafeRedis(await redisFacts(redis, nowMs()));
  } catch (error) {
    redis.disconnect();
    throw error;
  }
  const shared = {
    connection: redis,
    prefix: names.prefix,
    streams: { events: { maxLen: SETTINGS.bullEventsLength } },
  };
  const opened = new Map<string, Queue>();
  const open = (name: string): Queue => {
    const queue = opened.get(name) ?? new Queue(name, shared);
    if (!opened.has(name)) queue.on("error", () => {}); // commands report their own failures
    opened.set(name, queue);
    return queue;
  };
  const flow = new FlowProducer({ connection: redis, prefix: names.prefix });
  flow.on("error", () => {});
  return {
    redis,
    names,
    retentionMs: options.retentionMs ?? SETTINGS.retentionMs,
    settings: scaleSettings(options.timeScale ?? 1),
    breaks: options.breaks ?? new Set(),
    jobs: (pool) => open(names.jobsQueue(pool)),
    settlements: open(names.settlementsQueue),
    deliveries: open(names.deliveriesQueue),
    schedules: open(names.schedulesQueue),
    flow,
    close: async () => {
      await Promise.allSettled([...opened.values(), flow].map((part) => part.close()));
      redis.disconnect();
    },
  };
}
