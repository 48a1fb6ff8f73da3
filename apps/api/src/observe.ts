import { monotonicMs, newId } from "@comfyq/runtime";
import type { RequestHandler } from "express";
import type { ApiError } from "./errors.ts";
import type { Rooms } from "./rooms.ts";

/** Asked every few seconds by machines: not worth a line each. */
const QUIET: readonly unknown[] = ["/livez", "/readyz", "/metrics"];

/**
 * Gives every request an id, and when it is answered one log line and one measurement. The line has the path without its
 * query, and nothing of the body.
 */
export function observeRequests({ logger, metrics }: Rooms): RequestHandler {
  const seconds = metrics.histogram(
    "comfyq_http_request_duration_seconds",
    "Time from a request to the end of its answer",
    {
      labels: ["method", "route", "status"],
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    },
  );
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

/** All but those that a door or a neighbour may add. */
const REASONS = ["queued", "gpu_seconds_per_day", "requests_per_s", "queue_full", "unavailable"];

/** Counts who was told to come back later, and why. @returns called with every error that is answered */
export function observeRefusals(metrics: Rooms["metrics"]): (error: ApiError) => void {
  const refusals = metrics.counter(
    "comfyq_refusals_total",
    "Requests that were told to come back later, by reason: a limit of the caller, or what the system lacks",
    ["reason"],
  );
  for (const reason of REASONS) refusals.inc({ reason }, 0); // so that there is something to see before the first
  return ({ status, code, details }) => {
    if (status !== 429 && status !== 503) return;
    const [, limit] = /^limits\.(\w+)$/.exec(details[0]?.path ?? "") ?? [];
    refusals.inc({ reason: code === "queue_full" ? code : (limit ?? code) });
  };
}
