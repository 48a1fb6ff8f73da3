import { deliveryBacklog, type QueueRoom, type TryReport } from "@comfyq/queue";
import type { Metrics } from "@comfyq/runtime";

/** Counts what comes of deliveries; `register` shows it, once there is somewhere to show it. */
export interface DeliveryTally {
  note(report: TryReport): void;
  readonly noteDisabled: () => void;
  register(metrics: Metrics, room: QueueRoom): void;
}

/** Seconds: a receiver has 15. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15];

export function createDeliveryTally(): DeliveryTally {
  let onDisabled = (): void => undefined;
  let onReport: (report: TryReport) => void = () => undefined;
  return {
    note: (report) => onReport(report),
    noteDisabled: () => onDisabled(),
    register: (metrics, room) => {
      const tries = metrics.counter("comfyq_webhook_tries_total", "Tries to deliver a webhook, by what came of them", [
        "outcome",
        "code",
      ]);
      const seconds = metrics.histogram("comfyq_webhook_try_seconds", "From sending a webhook to the answer's head", {
        labels: ["outcome"],
        buckets: BUCKETS,
      });
      const backlog = metrics.gauge("comfyq_webhook_backlog", "Deliveries that have not ended", ["state"]);
      const disabled = metrics.counter(
        "comfyq_webhook_endpoints_disabled_total",
        "Webhook endpoints that were disabled",
      );
      onDisabled = () => disabled.inc();
      onReport = ({ code, latencyMs, verdict }) => {
        tries.inc({ outcome: verdict.kind, code });
        seconds.observe({ outcome: verdict.kind }, latencyMs / 1_000);
      };
      metrics.onScrape("webhook_backlog", async () => {
        for (const [state, count] of Object.entries(await deliveryBacklog(room))) backlog.set({ state }, count);
      });
    },
  };
}
