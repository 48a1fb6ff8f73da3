import type { Metrics } from "@comfyq/runtime";
import type { Activity } from "./activity.ts";
import { idleSeconds } from "./gpuClock.ts";

/** Shows what the GPU does, why it does nothing, how much waits for the store, and what the result cache spared. */
export function measureWork(
  metrics: Metrics,
  { gpu, backlog, cache }: Pick<Activity, "gpu" | "backlog" | "cache">,
): void {
  const busy = metrics.counter("comfyq_worker_gpu_busy_seconds_total", "Time in which ComfyUI had a prompt of ours");
  const idle = metrics.counter("comfyq_worker_gpu_idle_seconds_total", "Time in which it had none, and why", [
    "reason",
  ]);
  const waiting = metrics.gauge("comfyq_worker_storage_backlog_jobs", "Jobs that are rendered and not stored yet");
  const bytes = metrics.gauge("comfyq_worker_storage_backlog_bytes", "Bytes of them that are known to be stored yet");
  const misses = metrics.counter("comfyq_cache_misses_total", "Jobs that wanted a stored result, and were rendered");
  const shared = metrics.counter(
    "comfyq_cache_shared_total",
    "Jobs that came while an identical one was rendered here",
  );
  metrics.onScrape("cache", () => {
    misses.reset();
    misses.inc(cache.misses);
    shared.reset();
    shared.inc(cache.shared);
  });
  metrics.onScrape("gpu", () => {
    busy.reset();
    busy.inc(gpu.seconds("rendering"));
    idle.reset();
    for (const [reason, seconds] of Object.entries(idleSeconds(gpu))) idle.inc({ reason }, seconds);
    waiting.set(backlog.jobs);
    bytes.set(backlog.bytes);
  });
}

/** Shows how attempts end and how long their stages take; from now on. */
export function measureAttempts(metrics: Metrics, activity: Activity): void {
  const attempts = metrics.counter("comfyq_worker_attempts_total", "Attempts that ended here, by what came of them", [
    "outcome",
    "code",
  ]);
  const stages = metrics.histogram(
    "comfyq_job_stage_seconds",
    "How long jobs were queued before their first attempt, and how long attempts prepared, rendered and stored",
    { labels: ["stage"] },
  );
  const judged = metrics.histogram(
    "comfyq_worker_claim_seconds",
    "From a claim until its job is begun, or left to others",
    {
      buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    },
  );
  const declined = metrics.counter("comfyq_worker_jobs_declined_total", "Claimed jobs that were not begun, and why", [
    "why",
  ]);
  activity.meter = {
    judged: (durationMs) => judged.observe(durationMs / 1_000),
    declined: (why) => declined.inc({ why }),
    ended: ({ outcome, code, stages: took }) => {
      attempts.inc({ outcome, code });
      for (const [stage, ms] of Object.entries(took)) stages.observe({ stage }, ms / 1_000);
    },
  };
}
