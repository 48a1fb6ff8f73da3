import { NodeClasses, WorkerBeat } from "@comfyq/contract";
import type { QueueRoom } from "./room.ts";

/** On Redis's clock, so that hosts whose clocks differ see the same workers alive. Sweeps out the dead on the way. */
const BEAT = `
local t = redis.call("TIME")
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
redis.call("ZADD", KEYS[2], string.format("%.0f", now), ARGV[1])
redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", string.format("%.0f", now - ARGV[3]))
if ARGV[4] == "takes" then redis.call("ZADD", KEYS[3], string.format("%.0f", now), ARGV[1])
else redis.call("ZREM", KEYS[3], ARGV[1]) end
redis.call("ZREMRANGEBYSCORE", KEYS[3], "-inf", string.format("%.0f", now - ARGV[3]))
return 1
`;

const LIVE_WORKERS = `
local t = redis.call("TIME")
local since = t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[1]
return redis.call("ZRANGEBYSCORE", KEYS[1], string.format("%.0f", since), "+inf")
`;

/** Tells the others that this worker lives; forgotten `beatTtlMs` after the last beat. */
export async function beat(room: QueueRoom, worker: WorkerBeat): Promise<void> {
  const { redis, names, settings } = room;
  const ttlMs = Math.round(settings.beatTtlMs);
  const keys = [names.worker(worker.id), names.workers, names.poolWorkers(worker.pool)];
  const values = [worker.id, JSON.stringify(worker), ttlMs, takesJobs(worker) ? "takes" : ""];
  await redis.eval(BEAT, keys.length, ...keys, ...values);
}

/** Ids of the workers that beat within `beatTtlMs`. Only reads, so a read-only Redis can be asked. */
async function liveWorkerIds({ redis, names, settings }: QueueRoom): Promise<readonly string[]> {
  const ids = await redis.eval(LIVE_WORKERS, 1, names.workers, Math.round(settings.beatTtlMs));
  return Array.isArray(ids) ? ids.map(String) : [];
}

/** Says goodbye, so that nobody waits for the beat to run out. */
export async function leaveFleet(
  { redis, names }: QueueRoom,
  { id, pool }: Pick<WorkerBeat, "id" | "pool">,
): Promise<void> {
  await redis.pipeline().del(names.worker(id)).zrem(names.workers, id).zrem(names.poolWorkers(pool), id).exec();
}

function takesJobs({ state }: WorkerBeat): boolean {
  return state === "idle" || state === "rendering";
}

/** Every worker that beat within the last 10 s, by id. One of another version whose beat cannot be read is left out. */
export async function listWorkers(room: QueueRoom): Promise<readonly WorkerBeat[]> {
  const ids = await liveWorkerIds(room);
  if (ids.length === 0) return [];
  const beats = await room.redis.mget(...ids.map((id) => room.names.worker(id)));
  return beats
    .flatMap((text) => (text === null ? [] : (WorkerBeat.safeParse(JSON.parse(text)).data ?? [])))
    .sort((a, b) => a.id.localeCompare(b.id));
}

/** The other live workers of a pool that take jobs. */
export async function neighboursOf(room: QueueRoom, pool: string, workerId: string): Promise<readonly WorkerBeat[]> {
  return (await listWorkers(room)).filter(
    (worker) => worker.pool === pool && worker.id !== workerId && takesJobs(worker),
  );
}

/** Can a live worker of this pool place models, in whatever state it is now? */
export async function canPlaceModels(room: QueueRoom, pool: string): Promise<boolean> {
  return (await listWorkers(room)).some((worker) => worker.pool === pool && worker.models === true);
}

/** Keeps the list of node classes under its fingerprint; instances with the same nodes share one copy. */
export async function publishClasses(room: QueueRoom, fingerprint: string, classes: NodeClasses): Promise<void> {
  await room.redis.set(room.names.classes(fingerprint), JSON.stringify(classes), "EX", room.settings.classesTtlSeconds);
}

/** Keeps what an instance told of its node classes, compressed, under its hash; alike instances share one copy. */
export async function publishObjectInfo(room: QueueRoom, sha256: string, compressed: Buffer): Promise<void> {
  await room.redis.set(room.names.objectInfo(sha256), compressed, "EX", room.settings.classesTtlSeconds);
}

/** What was published under this hash; undefined when it is not there. */
export async function readObjectInfo(room: QueueRoom, sha256: string): Promise<Buffer | undefined> {
  return (await room.redis.getBuffer(room.names.objectInfo(sha256))) ?? undefined;
}

/** The same of the names of an instance's models. */
export async function publishModelLists(room: QueueRoom, sha256: string, compressed: Buffer): Promise<void> {
  await room.redis.set(room.names.modelLists(sha256), compressed, "EX", room.settings.classesTtlSeconds);
}

/** What was published under this hash; undefined when it is not there. */
export async function readModelLists(room: QueueRoom, sha256: string): Promise<Buffer | undefined> {
  return (await room.redis.getBuffer(room.names.modelLists(sha256))) ?? undefined;
}

/**
 * The node classes that at least one live instance of the pool knows; undefined when none has told us, and then nothing
 * can be said about a graph.
 */
export async function knownClasses(room: QueueRoom, pool: string): Promise<NodeClasses | undefined> {
  const workers = (await listWorkers(room)).filter((worker) => worker.pool === pool);
  const fingerprints = new Set(workers.flatMap((worker) => worker.fingerprint ?? []));
  // An instance that has not told us might know anything.
  if (fingerprints.size === 0 || workers.some((worker) => worker.fingerprint === null)) return undefined;
  const lists = await room.redis.mget(...[...fingerprints].map((fingerprint) => room.names.classes(fingerprint)));
  const known = lists.flatMap((text) => (text === null ? [] : [NodeClasses.parse(JSON.parse(text))]));
  return known.length < fingerprints.size ? undefined : Object.assign({}, ...known);
}

export interface PoolCounts {
  readonly pool: string;
  readonly waiting: number;
  readonly delayed: number;
  readonly active: number;
  readonly succeeded: number;
  readonly failed: number;
  /** An operator stopped its queue in Bull Board: no job of it is begun. */
  readonly paused: boolean;
}

/** How many jobs stand where, per pool that was ever used. */
export async function poolCounts(room: QueueRoom): Promise<readonly PoolCounts[]> {
  const pools = (await room.redis.smembers(room.names.pools)).sort();
  return Promise.all(
    pools.map(async (pool) => {
      const queue = room.jobs(pool);
      const [counts, paused] = await Promise.all([
        queue.getJobCounts("wait", "prioritized", "delayed", "active", "completed", "failed"),
        queue.isPaused(),
      ]);
      return {
        pool,
        waiting: (counts["wait"] ?? 0) + (counts["prioritized"] ?? 0),
        delayed: counts["delayed"] ?? 0,
        active: counts["active"] ?? 0,
        succeeded: counts["completed"] ?? 0,
        failed: counts["failed"] ?? 0,
        paused,
      };
    }),
  );
}
