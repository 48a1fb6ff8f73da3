import type { PoolFacts } from "@comfyq/queue";
import type { Rooms } from "./rooms.ts";

/** Pools are named by customers, too: so many are shown by name, the rest together. */
const MOST_POOLS = 100;
const ALL_OTHERS = "(others)";

/**
 * Measurements that are asked for at each scrape: what stands in the queues, and who is there to take it. They are the whole
 * system's, so every API process shows the same.
 */
export function observeFleet(rooms: Rooms): void {
  observePools(rooms);
  observeWorkers(rooms);
  observeErrands(rooms);
  observeSchedules(rooms);
  observeBatches(rooms);
  observeRedis(rooms);
}

function observePools({ metrics, producer }: Rooms): void {
  const jobs = metrics.gauge("comfyq_jobs", "Jobs that are kept, per pool and state", ["pool", "state"]);
  const oldest = metrics.gauge(
    "comfyq_oldest_waiting_job_seconds",
    "How long the job has waited that waits longest of those that could start; 0 when none does",
    ["pool"],
  );
  const stopped = metrics.gauge("comfyq_pool_paused", "1 while an operator has paused the pool, else 0", ["pool"]);
  const submitted = metrics.counter("comfyq_jobs_submitted_total", "Jobs that were ever queued", ["pool"]);
  const ended = metrics.counter("comfyq_jobs_ended_total", "Jobs that ever ended, by their status", ["pool", "status"]);
  metrics.onScrape("pools", async () => {
    const pools = bounded(await producer.poolFacts());
    for (const each of [jobs, oldest, stopped, submitted, ended]) each.reset();
    for (const { pool, longestWaitMs, paused, submitted: all, ended: ends, ...counts } of pools) {
      for (const [state, count] of Object.entries(counts)) jobs.inc({ pool, state }, count);
      if (pool !== ALL_OTHERS) oldest.set({ pool }, longestWaitMs / 1_000);
      if (pool !== ALL_OTHERS) stopped.set({ pool }, paused ? 1 : 0);
      submitted.inc({ pool }, all);
      for (const [status, count] of Object.entries(ends)) ended.inc({ pool, status }, count);
    }
  });
}

/** Those with the most jobs by name. */
function bounded(pools: readonly PoolFacts[]): readonly PoolFacts[] {
  const size = ({ waiting, active, submitted }: PoolFacts) => waiting * 1e6 + active * 1e6 + submitted;
  return pools
    .toSorted((a, b) => size(b) - size(a))
    .map((facts, at) => (at < MOST_POOLS ? facts : { ...facts, pool: ALL_OTHERS }));
}

function observeWorkers({ metrics, producer }: Rooms): void {
  const workers = metrics.gauge("comfyq_workers", "Workers alive, per pool and state", ["pool", "state"]);
  metrics.onScrape("workers", async () => {
    const alive = await producer.workers();
    workers.reset();
    for (const { pool, state } of alive) workers.inc({ pool, state });
  });
}

function observeErrands({ metrics, producer }: Rooms): void {
  const errands = metrics.gauge("comfyq_errands", "What dispatchers have to do, per queue and state", [
    "queue",
    "state",
  ]);
  metrics.onScrape("errands", async () => {
    const counts = await producer.errandCounts();
    errands.reset();
    for (const { queue, states } of counts)
      for (const [state, count] of Object.entries(states)) errands.set({ queue, state }, count);
  });
}

function observeSchedules({ metrics, producer }: Rooms): void {
  const overdue = metrics.gauge(
    "comfyq_schedule_overdue_seconds",
    "How long the schedule that has waited longest for a dispatcher is past its moment",
  );
  metrics.onScrape("schedules", async () => overdue.set((await producer.schedules.overdueMs()) / 1_000));
}

function observeBatches({ metrics, producer }: Rooms): void {
  const unmade = metrics.gauge("comfyq_batch_rows_unmade", "Rows of batches whose job is not made yet, per pool", [
    "pool",
  ]);
  const neglected = metrics.gauge("comfyq_batches_neglected", "Batches that nobody has looked after in time");
  metrics.onScrape("batches", async () => {
    const backlog = await producer.batches.backlog();
    unmade.reset();
    for (const [pool, rows] of Object.entries(backlog.unmade)) unmade.set({ pool }, rows);
    neglected.set(backlog.neglected);
  });
}

function observeRedis({ metrics, producer }: Rooms): void {
  const up = metrics.gauge("comfyq_redis_up", "1 when Redis answered this process at the scrape, else 0");
  const used = metrics.gauge("comfyq_redis_used_memory_bytes", "Memory that Redis uses");
  const most = metrics.gauge("comfyq_redis_max_memory_bytes", "Memory that Redis may use; 0: without limit");
  const clients = metrics.gauge("comfyq_redis_connected_clients", "Connections that Redis has");
  const skew = metrics.gauge("comfyq_redis_clock_skew_seconds", "Redis's clock minus that of this process");
  metrics.onScrape("redis", async () => {
    up.set(0);
    const facts = await producer.facts();
    up.set(1);
    used.set(facts.usedMemoryBytes);
    most.set(facts.maxMemoryBytes);
    clients.set(facts.connectedClients);
    skew.set(facts.clockSkewMs / 1_000);
  });
}
