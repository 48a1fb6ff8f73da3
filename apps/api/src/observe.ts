import { monotonicMs, newId } from "@comfyq/runtime";
import type { RequestHandler } from "express";
import type { Rooms } from "./rooms.ts";

/** Asked every few seconds by machines: not worth a line each. */
const QUIET: readonly unknown[] = ["/livez", "/readyz", "/metrics"];

/**
 * Gives every request an id, and when it is answered one log line and one measurement. The line has the path without its
 * query, and nothing of the body.
 */
export function observeRequests({ logger, metrics }: Rooms): RequestHandler {
  const seconds = metrics.histogram("comfyq_http_seconds", "Time from request to answer", {
    labels: ["method", "route", "status"],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
  });
  return (req, res, next) => {
    const startedAtMs = monotonicMs();
    const requestId = newId();
    res.locals["requestId"] = requestId;
    res.set("X-Request-Id", requestId);
    res.once("close", () => {
      const durationMs = Math.round(monotonicMs() - startedAtMs);
      const { route = "other" } = res.locals;
      seconds.observe({ method: req.method, route, status: String(res.statusCode) }, durationMs / 1_000);
      if (QUIET.includes(route)) return;
      const fields = { requestId, method: req.method, path: req.path, status: res.statusCode, durationMs };
      if (res.writableFinished) logger.info(fields, "request answered");
      else logger.info(fields, "client left before the answer was complete");
    });
    next();
  };
}

/** Measurements that are asked for at each scrape: what stands in the queues, and who is there to take it. */
export function observeFleet({ metrics, producer }: Rooms): void {
  const jobs = metrics.gauge("comfyq_jobs", "Jobs per pool and state", ["pool", "state"]);
  const workers = metrics.gauge("comfyq_workers", "Workers alive, per pool and state", ["pool", "state"]);
  metrics.onScrape("pools", async () => {
    const pools = await producer.pools();
    jobs.reset();
    for (const { pool, ...counts } of pools)
      for (const [state, count] of Object.entries(counts)) jobs.set({ pool, state }, count);
  });
  const overdue = metrics.gauge(
    "comfyq_schedule_overdue_seconds",
    "How long the schedule that has waited longest for a dispatcher is past its moment",
  );
  metrics.onScrape("schedules", async () => overdue.set((await producer.schedules.overdueMs()) / 1_000));
  const unmade = metrics.gauge("comfyq_batch_rows_unmade", "Rows of batches whose job is not made yet, per pool", [
    "pool",
  ]);
  const neglected = metrics.gauge("comfyq_batches_neglected", "Batches that nobody has looked after in time", []);
  metrics.onScrape("batches", async () => {
    const backlog = await producer.batches.backlog();
    unmade.reset();
    for (const [pool, rows] of Object.entries(backlog.unmade)) unmade.set({ pool }, rows);
    neglected.set({}, backlog.neglected);
  });
  metrics.onScrape("workers", async () => {
    const alive = await producer.workers();
    workers.reset();
    for (const { pool, state } of alive) workers.inc({ pool, state });
  });
}
