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
  const waiting = metrics.gauge("comfyq_worker_storage_backlog", "Jobs that are rendered and not stored yet");
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
