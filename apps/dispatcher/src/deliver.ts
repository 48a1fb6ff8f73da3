import { type Delivery, GiveUp } from "@comfyq/queue";
import {
  failPoint,
  type Logger,
  nowMs,
  type SafeFetch,
  SafeFetchError,
  stripUrl,
  tenantWebhookSecret,
} from "@comfyq/runtime";
import { Webhook } from "standardwebhooks";

interface DeliverTools {
  readonly post: SafeFetch;
  readonly master: string;
  readonly log: Logger;
}

export interface DeliveryTry {
  readonly delivery: Delivery;
  /** The `webhook-id`: the same on every try. */
  readonly eventId: string;
  /** From 1. */
  readonly tryNumber: number;
}

/** How much of an answer is read before hanging up; nothing in it is used. */
const ANSWER_BYTES = 8_192;

/**
 * Sends one event once, signed as Standard Webhooks 1.0 says: `webhook-id`, `webhook-timestamp` (of this try) and
 * `webhook-signature` over `id.timestamp.body`.
 * @throws GiveUp when trying again is useless (410, an address we may not reach); Error for another try later
 */
export async function deliver(
  { delivery, eventId, tryNumber }: DeliveryTry,
  { post, master, log }: DeliverTools,
): Promise<void> {
  const at = new Date(nowMs());
  const signature = new Webhook(tenantWebhookSecret(master, delivery.tenant)).sign(eventId, at, delivery.body);
  const facts = { jobId: delivery.jobId, eventId, type: delivery.type, url: stripUrl(delivery.url), try: tryNumber };
  const headers = {
    "content-type": "application/json",
    "webhook-id": eventId,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
    "webhook-signature": signature,
  };
  const status = await send({ delivery, headers, post }, (code) =>
    log.warn({ ...facts, code }, "webhook did not arrive"),
  );
  if (status >= 200 && status < 300) {
    await failPoint("delivered", { event: eventId, type: delivery.type, job: delivery.jobId });
    log.info({ ...facts, status }, "webhook delivered");
    return;
  }
  log.warn({ ...facts, status }, "webhook not accepted");
  if (status === 410) throw new GiveUp(`${facts.url} answered 410 Gone; it wants no more events`);
  throw new Error(`${facts.url} answered ${status}; tried again later`);
}

interface Post {
  readonly delivery: Delivery;
  readonly headers: Readonly<Record<string, string>>;
  readonly post: SafeFetch;
}

async function send({ delivery, headers, post }: Post, onLost: (code: string) => void): Promise<number> {
  try {
    const request = { method: "POST", headers, body: delivery.body, redirects: 0, maxBytes: ANSWER_BYTES };
    const answer = await post(delivery.url, request);
    answer.body.on("error", () => {}); // the status is all that counts; a cut body is no failure
    answer.body.destroy();
    return answer.status;
  } catch (error) {
    if (!(error instanceof SafeFetchError)) throw error;
    onLost(error.code);
    if (error.code === "address_refused" || error.code === "bad_url") throw new GiveUp(error.message, { cause: error });
    if (error.code === "redirect_refused")
      throw new Error(`${stripUrl(delivery.url)} redirects; a receiver must answer itself`);
    throw error;
  }
}
