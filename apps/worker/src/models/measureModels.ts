import type { Metrics } from "@comfyq/runtime";
import type { ModelStore } from "./modelStore.ts";

/** Shows what is brought into the models folder, what had to go, and how much room the rest takes. */
export function measureModels(metrics: Metrics, { counts, sizeBytes }: Pick<ModelStore, "counts" | "sizeBytes">): void {
  const bytes = metrics.counter("comfyq_worker_model_bytes_total", "Bytes of models that were downloaded");
  const installed = metrics.counter("comfyq_worker_models_installed_total", "Models that were put into the folder");
  const evicted = metrics.counter("comfyq_worker_models_evicted_total", "Models that had to go to make room");
  const size = metrics.gauge("comfyq_worker_models_bytes", "Bytes that models of ours take in this worker's folder");
  metrics.onScrape("models", async () => {
    for (const [counter, value] of [
      [bytes, counts.downloadedBytes],
      [installed, counts.downloads],
      [evicted, counts.evictions],
    ] as const) {
      counter.reset();
      counter.inc(value);
    }
    size.set(await sizeBytes());
  });
}
