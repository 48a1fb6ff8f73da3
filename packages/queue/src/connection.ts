import { Redis, type RedisOptions } from "ioredis";
import { after } from "./clock.ts";
import { QueueError } from "./errors.ts";
import { SETTINGS } from "./settings.ts";

/** `producer` answers or fails within a second; `worker` waits for Redis to come back, however long. */
export type ConnectionStyle = "producer" | "worker";

/**
 * Opens one connection. Failures to connect are not thrown here: commands fail (producer) or wait (worker).
 * @param redisUrl `redis://…`, `rediss://…`, or the path of a unix socket
 */
export function connectRedis(redisUrl: string, style: ConnectionStyle): Redis {
  const shared: RedisOptions = {
    retryStrategy: (times) => Math.min(times * 100, SETTINGS.reconnectCapMs),
    // After a failover the old master answers READONLY until the client looks again (reference/bullmq.md).
    reconnectOnError: (error) => (error.message.startsWith("READONLY") ? 2 : false),
  };
  const perStyle: RedisOptions =
    style === "producer"
      ? { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: SETTINGS.commandTimeoutMs }
      : { maxRetriesPerRequest: null };
  const redis = new Redis(redisUrl, { ...shared, ...perStyle, replyMapping: "legacy" });
  // Every failed try to reconnect is an "error" event, and an unheard one would end the process.
  redis.on("error", () => {});
  return redis;
}

/** Resolves once the connection is usable; a producer refuses commands before. */
export async function untilReady(redis: Redis, patienceMs: number): Promise<void> {
  if (redis.status === "ready") return;
  await new Promise<void>((resolve, reject) => {
    const stopTimer = after(patienceMs, () => {
      redis.off("ready", ready);
      const address = `${redis.options.path ?? `${redis.options.host}:${redis.options.port}`}`;
      reject(new QueueError("unavailable", `No Redis answered at ${address} within ${patienceMs} ms; is it running?`));
    });
    const ready = () => {
      stopTimer();
      resolve();
    };
    redis.once("ready", ready);
  });
}

export interface RedisFacts {
  readonly version: string;
  readonly appendOnly: boolean;
  readonly maxmemoryPolicy: string;
  readonly usedMemoryBytes: number;
  /** 0: without limit. */
  readonly maxMemoryBytes: number;
  readonly connectedClients: number;
  /** Redis's clock minus ours, in ms. */
  readonly clockSkewMs: number;
}

/** Asks Redis what it is. Reads INFO only, which managed services allow; CONFIG is often forbidden. */
export async function redisFacts(redis: Redis, nowMs: number): Promise<RedisFacts> {
  const [info, time] = await Promise.all([redis.info(), redis.time()]);
  const field = (name: string) => new RegExp(`^${name}:(.*)$`, "m").exec(info)?.[1]?.trim() ?? "";
  const [seconds, micros] = time.map(Number);
  return {
    version: field("redis_version"),
    appendOnly: field("aof_enabled") === "1",
    maxmemoryPolicy: field("maxmemory_policy"),
    usedMemoryBytes: Number(field("used_memory")),
    maxMemoryBytes: Number(field("maxmemory")),
    connectedClients: Number(field("connected_clients")),
    clockSkewMs: (seconds ?? 0) * 1_000 + (micros ?? 0) / 1_000 - nowMs,
  };
}

/**
 * Refuses a Redis that may forget jobs: without AOF every acknowledged job was lost on kill -9 (measured), and any policy
 * but `noeviction` drops keys under memory pressure.
 * @throws QueueError `unsafe_redis`
 */
export function assertSafeRedis(facts: RedisFacts): void {
  const faults: string[] = [];
  if (!facts.appendOnly) faults.push("appendonly is off (a crash loses every job): CONFIG SET appendonly yes");
  if (facts.maxmemoryPolicy !== "noeviction")
    faults.push(
      `maxmemory-policy is ${facts.maxmemoryPolicy} (jobs may be evicted): CONFIG SET maxmemory-policy noeviction`,
    );
  if (faults.length === 0) return;
  throw new QueueError(
    "unsafe_redis",
    `This Redis can lose jobs. ${faults.join("; ")}; or set COMFYQ_ALLOW_UNSAFE_REDIS=1`,
  );
}
