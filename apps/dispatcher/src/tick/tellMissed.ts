import { toMoment, type WebhookEvent } from "@comfyq/contract";
import { type MissedNews, type QueueRoom, type ScheduleState, tell } from "@comfyq/queue";
import { missedEventId } from "./tickIdentity.ts";

/** Tells whoever wants to know that moments of a schedule passed without a job. Safe to repeat. */
export async function tellMissed(room: QueueRoom, state: ScheduleState, news: MissedNews): Promise<void> {
  const { tenant, name, rule } = state;
  const { newestMs, count, reason, atMs } = news;
  const event: WebhookEvent = {
    v: 1,
    id: missedEventId(state, newestMs),
    type: "schedule.missed",
    timestamp: toMoment(atMs),
    data: { schedule: name, tick_at: toMoment(newestMs), count, reason },
  };
  const webhook = rule.webhook && { url: rule.webhook.url, events: [event.type] };
  await tell(room, event, { tenant, webhook });
}
