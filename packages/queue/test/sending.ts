import { randomUUID } from "node:crypto";
import type { JobEventType, WebhookEvent } from "@comfyq/contract";
import { onTestFinished } from "vitest";
import {
  type Delivery,
  type Errands,
  type ErrandsOptions,
  openErrands,
  openProducer,
  type Producer,
  queueDelivery,
  type TryOrder,
  type TryReport,
} from "../src/index.ts";
import { startPrivateRedis } from "../src/testing/index.ts";

/** What a test's receiver does with one try. */
export type Send = (delivery: Delivery, order: TryOrder) => Promise<TryReport>;

export const accepted: TryReport = {
  status: 204,
  code: "delivered",
  latencyMs: 3,
  answer: "",
  message: null,
  isAnswered: true,
  verdict: { kind: "delivered" },
};
export const refused: TryReport = {
  status: 500,
  code: "not_accepted",
  latencyMs: 3,
  answer: "no",
  message: "it answered 500",
  isAnswered: true,
  verdict: { kind: "again", afterMs: 0 },
};
export const gaveUp: TryReport = { ...refused, verdict: { kind: "give_up" } };

interface Queued {
  readonly url?: string;
  readonly tenant?: string;
  readonly type?: JobEventType;
  readonly jobId?: string;
  readonly endpointId?: string | null;
}

export interface Sending {
  readonly producer: Producer;
  readonly errands: Errands;
  /** One more dispatcher beside the first. */
  readonly open: (send: Send, options?: Partial<ErrandsOptions>) => Promise<Errands>;
  /** @returns the id of the event, which is that of a delivery to the webhook of a job */
  readonly queue: (delivery?: Queued) => Promise<string>;
}

/** A private Redis, a producer and one dispatcher whose receivers the test plays; all closed at the end of the test. */
export async function sending(
  send: Send,
  { beforeClose = () => {}, ...options }: Partial<ErrandsOptions> & { readonly beforeClose?: () => void } = {},
): Promise<Sending> {
  const redis = await startPrivateRedis();
  const shared = { redisUrl: redis.url, timeScale: 0.2, ...options };
  const producer = await openProducer(shared);
  const opened: Errands[] = [];
  const open = async (how: Send, more: Partial<ErrandsOptions> = {}) => {
    const idle = async () => {};
    const run = { settlement: idle, answer: idle, errand: idle, tick: idle, delivery: how };
    const errands = await openErrands({ ...shared, sender: `dispatcher-${opened.length}`, ...more, run });
    opened.push(errands);
    return errands;
  };
  const errands = await open(send);
  onTestFinished(async () => {
    beforeClose(); // dispatchers wait for what is under way
    await Promise.all(opened.map((each) => each.close()));
    await producer.close();
    await redis.close();
  });
  return {
    producer,
    errands,
    open,
    queue: async ({
      url = "http://a.example/hook",
      tenant = "acme",
      type = "job.succeeded",
      jobId,
      endpointId,
    } = {}) => {
      // The queue reads id, type and job of an event; all else is the dispatcher's.
      const data = { job: { id: jobId ?? randomUUID() } };
      const event = {
        v: 1,
        id: randomUUID(),
        type,
        timestamp: "2026-01-01T00:00:00Z",
        data,
      } as unknown as WebhookEvent;
      await queueDelivery(errands.room, event, { tenant, url, endpointId: endpointId ?? null });
      return event.id;
    },
  };
}
