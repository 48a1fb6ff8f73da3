import type { Delivery, TryOrder, TryReport } from "@comfyq/queue";
import { failPoint, type Logger, nowMs, type SafeFetch, stripUrl } from "@comfyq/runtime";
import { judgePost } from "./judgePost.ts";
import { postEvent } from "./postEvent.ts";
import { type Receiver, signatureOf } from "./signing.ts";

export interface DeliverTools {
  readonly post: SafeFetch;
  /** Looks the receiver of this delivery up. */
  readonly receiver: (delivery: Delivery) => Promise<Receiver>;
  readonly log: Logger;
}

/**
 * Sends one event once, signed as Standard Webhooks 1.0 says: `webhook-id`, `webhook-timestamp` (of this try) and
 * `webhook-signature` over `id.timestamp.body`.
 * @returns what came of it, and whether it is to be tried again
 */
export async function deliver(
  { delivery, order }: { readonly delivery: Delivery; readonly order: TryOrder },
  { post, receiver, log }: DeliverTools,
): Promise<TryReport> {
  const { eventId, number } = order;
  const { type, jobId, body } = delivery;
  await failPoint("delivery_opened", { event: eventId, type, job: jobId });
  const to = await receiver(delivery).catch((error: unknown) => {
    log.error({ jobId, eventId, type, cause: error }, "a webhook's receiver could not be looked up; it is tried again");
    throw error;
  });
  if (to.kind === "gone") return nobodyThere(to.why);
  const at = new Date(nowMs());
  const headers = {
    ...to.headers,
    "content-type": "application/json",
    "webhook-id": eventId,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
    "webhook-signature": signatureOf(to.secrets, { eventId, at, body }),
  };
  const shownUrl = stripUrl(to.url);
  const result = await postEvent({ url: to.url, body, headers, post });
  const report = judgePost(result, { nowMs: nowMs(), shownUrl, hide: (text) => to.hide(text) });
  const { status, code, latencyMs } = report;
  if (code === "delivered") await failPoint("delivered", { event: eventId, type, job: jobId });
  const facts = { jobId, eventId, type, url: shownUrl, try: number, status, code, durationMs: latencyMs };
  if (code === "delivered") log.info(facts, "webhook delivered");
  else log.warn(facts, status === null ? "webhook did not arrive" : "webhook not accepted");
  return report;
}

function nobodyThere(message: string): TryReport {
  const nothing = { status: null, answer: null, latencyMs: 0, isAnswered: false };
  return { ...nothing, code: "endpoint_disabled", message, verdict: { kind: "give_up" } };
}
