import type { WebhookEventType } from "@comfyq/contract";
import type { Settings } from "./settings.ts";

type WaitSettings = Pick<Settings, "deliveryBackoffMs" | "progressBackoffMs" | "outputBackoffMs">;

/** The waits between the tries of one delivery, by what it tells of: an end for days, progress or a test for seconds. */
export function deliveryWaits(type: WebhookEventType, settings: WaitSettings): readonly number[] {
  if (type === "job.progress" || type === "webhook.test") return settings.progressBackoffMs;
  if (type === "job.output") return settings.outputBackoffMs;
  return settings.deliveryBackoffMs;
}
