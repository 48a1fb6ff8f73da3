import { type Delivery, type DueDelivery, GiveUp, TryLater } from "@comfyq/queue";
import { failPoint, type Logger, nowMs, type SafeFetch, SafeFetchError, stripUrl } from "@comfyq/runtime";
import { retryAfterMs } from "./retryAfter.ts";
import { type Receiver, signatureOf } from "./signing.ts";

interface DeliverTools {
  readonly post: SafeFetch;
  /** Looks the receiver of this delivery up. */
  readonly receiver: (delivery: Delivery) => Promise<Receiver>;
  readonly log: Logger;
}

/**
 * Sends one event once, signed as Standard Webhooks 1.0 says: `webhook-id`, `webhook-timestamp` (of this try) and
 * `webhook-signature` over `id.timestamp.body`.
 * @throws GiveUp when trying again is useless (410, an address we may not reach); TryLater when the receiver says when;
 * Error for another try as the schedule has it
 */
export async function deliver(
  { delivery, eventId, tryNumber }: DueDelivery,
  { post, receiver, log }: DeliverTools,
): Promise<void> {
  const to = await receiver(delivery);
  if (to.kind === "gone") throw new GiveUp(to.why);
  const at = new Date(nowMs());
  const facts = { jobId: delivery.jobId, eventId, type: delivery.type, url: stripUrl(to.url), try: tryNumber };
  const headers = {
    ...to.headers,
    "content-type": "application/json",
    "webhook-id": eventId,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
    "webhook-signature": signatureOf(to.secrets, { eventId, at, body: delivery.body }),
  };
  const { status, retryAfter } = await send({ url: to.url, body: delivery.body, headers, post }, (code) =>
    log.warn({ ...facts, code }, "webhook did not arrive"),
  );
  if (status >= 200 && status < 300) {
    await failPoint("delivered", { event: eventId, type: delivery.type, job: delivery.jobId });
    log.info({ ...facts, status }, "webhook delivered");
    return;
  }
  log.warn({ ...facts, status }, "webhook not accepted");
  if (status === 410) throw new GiveUp(`${facts.url} answered 410 Gone; it wants no more events`);
  const afterMs = retryAfterMs(retryAfter, nowMs());
  if (afterMs !== undefined) throw new TryLater(`${facts.url} answered ${status} and when to come back`, afterMs);
  throw new Error(`${facts.url} answered ${status}; tried again later`);
}

interface Post {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly post: SafeFetch;
}

interface Verdict {
  readonly status: number;
  readonly retryAfter: string | undefined;
}

async function send({ url, body, headers, post }: Post, onLost: (code: string) => void): Promise<Verdict> {
  try {
    // No limit on the answer's size: however long it says it is, nothing of it is read, and its status counts.
    const request = { method: "POST", headers, body, redirects: 0, maxBytes: Number.POSITIVE_INFINITY };
    const answer = await post(url, request);
    answer.body.on("error", () => {}); // a cut body is no failure
    answer.body.destroy();
    return { status: answer.status, retryAfter: answer.headers["retry-after"] };
  } catch (error) {
    if (!(error instanceof SafeFetchError)) throw error;
    onLost(error.code);
    if (error.code === "address_refused" || error.code === "bad_url") throw new GiveUp(error.message, { cause: error });
    if (error.code === "redirect_refused") throw new Error(`${stripUrl(url)} redirects; a receiver must answer itself`);
    throw error;
  }
}
