import { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { nowMs } from "./clock.ts";
import { assertSafeRedis, type ConnectionStyle, connectRedis, redisFacts, untilReady } from "./connection.ts";
import { DEFAULT_PREFIX, type Names, namesUnder } from "./names.ts";
import { nextAlarm } from "./schedules/nextAlarm.ts";
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
  /** Webhooks that were queued here, by the type of their event; for counting. */
  readonly told: Map<string, number>;
  /** The queue of one pool; opened once. */
  jobs(pool: string): Queue;
  readonly settlements: Queue;
  readonly deliveries: Queue;
  readonly schedules: Queue;
  /** Alarms of the customers' schedules. */
  readonly ticks: Queue;
  readonly answers: Queue;
  close(): Promise<void>;
}

export interface RoomOptions {
  /** `redis://…`, `rediss://…`, or the path of a unix socket. */
  readonly redisUrl: string;
  readonly prefix?: string | undefined;
  /** How long an ended job and its files are kept, in ms. */
  readonly retentionMs?: number | undefined;
  /** Jobs waiting or delayed in one pool before new ones are refused. Default 100,000. */
  readonly queueCap?: number | undefined;
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
    settings: { repeatStrategy: nextAlarm },
  };
  const queues = keepOpen((name) => new Queue(name, shared));
  return {
    redis,
    names,
    retentionMs: options.retentionMs ?? SETTINGS.retentionMs,
    settings: { ...scaleSettings(options.timeScale ?? 1), queueCap: options.queueCap ?? SETTINGS.queueCap },
    breaks: options.breaks ?? new Set(),
    told: new Map(),
    jobs: (pool) => queues.open(names.jobsQueue(pool)),
    get settlements() {
      return queues.open(names.settlementsQueue);
    },
    get deliveries() {
      return queues.open(names.deliveriesQueue);
    },
    get schedules() {
      return queues.open(names.schedulesQueue);
    },
    get ticks() {
      return queues.open(names.ticksQueue);
    },
    get answers() {
      return queues.open(names.answersQueue);
    },
    close: async () => {
      await Promise.allSettled(queues.opened().map((part) => part.close()));
      redis.disconnect();
    },
  };
}

/** What all of BullMQ's objects can do. */
interface Openable {
  on(event: "error", listener: () => void): unknown;
  waitUntilReady(): Promise<unknown>;
  close(): Promise<unknown>;
}

/**
 * Opens each of BullMQ's objects once, when it is first wanted. One whose first words with Redis failed keeps that failure for
 * ever (6.7.0, RedisConnection.init): it is dropped, and opened anew by whoever wants it next.
 */
function keepOpen<T extends Openable>(create: (name: string) => T) {
  const kept = new Map<string, T>();
  const open = (name: string): T => {
    const known = kept.get(name);
    if (known) return known;
    const fresh = create(name);
    fresh.on("error", () => {}); // commands report their own failures
    kept.set(name, fresh);
    fresh.waitUntilReady().catch(() => kept.delete(name));
    return fresh;
  };
  return { open, opened: () => [...kept.values()] };
}
