import { type Delivery, type DeliveryDetail, type DeliveryStatus, DeliveryTry, toMoment } from "@comfyq/contract";
import * as z from "zod";
import { type DeliveryHead, HEAD_FIELDS, parseHead } from "./deliveryHead.ts";
import { Delivery as Envelope } from "./envelopes.ts";
import { orUnavailable } from "./errors.ts";
import { readJson } from "./readAttempt.ts";
import type { QueueRoom } from "./room.ts";

/** What BullMQ knows of a delivery, and our log. BullMQ's state is the delivery's; the log only tells how it came to it. */
interface Facts {
  readonly id: string;
  readonly head: DeliveryHead;
  readonly triesMade: number;
  readonly lastTry: DeliveryTry | null;
  readonly finishedOn: string | null;
  readonly failedReason: string | null;
  readonly returnvalue: string | null;
  /** Moment of the next try, Unix ms, if it is put off. */
  readonly dueAtMs: number | null;
  readonly hasFailed: boolean;
}

/** Tenant's deliveries by id, in their order; those that are gone, or somebody else's, are left out. */
export async function readDeliveries(
  room: QueueRoom,
  tenant: string,
  ids: readonly string[],
): Promise<readonly (Delivery | undefined)[]> {
  const { redis, names } = room;
  const bull = (key: string) => names.bull(names.deliveriesQueue, key);
  const pipeline = redis.pipeline();
  for (const id of ids)
    pipeline
      .hmget(names.delivery(id), ...HEAD_FIELDS, "tries", "last")
      .hmget(bull(id), "timestamp", "finishedOn", "failedReason", "returnvalue")
      .zscore(bull("delayed"), id)
      .zscore(bull("failed"), id);
  const answers = (await pipeline.exec()) ?? [];
  for (const [error] of answers) if (error) throw error;
  return ids.map((id, at) => {
    const [own, bullFacts, delayed, failed] = answers.slice(at * 4, at * 4 + 4).map(([, value]) => value);
    const [timestamp, finishedOn = null, failedReason = null, returnvalue = null] = texts(bullFacts);
    const head = parseHead(texts(own));
    if (head?.tenant !== tenant || timestamp === null) return undefined;
    const [tries, last] = texts(own).slice(HEAD_FIELDS.length);
    const dueAtMs = typeof delayed === "string" ? Math.floor(Number(delayed) / 0x1000) : null; // as BullMQ scores it
    const log = { triesMade: Number(tries ?? 0), lastTry: parseTry(last) };
    return shown({ id, head, ...log, finishedOn, failedReason, returnvalue, dueAtMs, hasFailed: failed !== null });
  });
}

/** One delivery with its tries and its body; undefined for an unknown id and for another tenant's alike. @throws QueueError `unavailable` */
export async function readDelivery(room: QueueRoom, tenant: string, id: string): Promise<DeliveryDetail | undefined> {
  return orUnavailable("a delivery was read", read(room, tenant, id));
}

async function read(room: QueueRoom, tenant: string, id: string): Promise<DeliveryDetail | undefined> {
  const [delivery] = await readDeliveries(room, tenant, [id]);
  if (!delivery) return undefined;
  const { redis, names } = room;
  const [kept, data] = await Promise.all([
    redis.hgetall(names.delivery(id)),
    redis.hget(names.bull(names.deliveriesQueue, id), "data"),
  ]);
  const envelope = Envelope.safeParse(readJson(data ?? "")).data;
  if (!envelope) return undefined; // swept just now
  const tries = Object.entries(kept)
    .filter(([field]) => /^t\d+$/.test(field))
    .map(([field, text]) => parseTry(text, Number(field.slice(1))))
    .filter((each) => each !== null)
    .sort((a, b) => a.number - b.number);
  return { ...delivery, tries, body: envelope.body };
}

function shown({ id, head, triesMade, lastTry, ...facts }: Facts): Delivery {
  const { status, reason } = statusOf(facts);
  return {
    id,
    event_id: head.event,
    type: head.type,
    status,
    url: head.url,
    endpoint_id: head.endpoint,
    job_id: head.job,
    created_at: toMoment(head.created),
    next_try_at: status === "pending" && facts.dueAtMs !== null ? toMoment(facts.dueAtMs) : null,
    tries_made: triesMade,
    last_try: lastTry,
    reason,
  };
}

/** What a turn that sent nothing leaves behind. */
const Dropped = z.object({ dropped: z.string() });

type Standing = Pick<Facts, "finishedOn" | "failedReason" | "returnvalue" | "hasFailed">;

function statusOf(facts: Standing): { readonly status: DeliveryStatus; readonly reason: string | null } {
  if (facts.hasFailed) return { status: "failed", reason: facts.failedReason };
  if (facts.finishedOn === null) return { status: "pending", reason: null };
  const dropped = Dropped.safeParse(readJson(facts.returnvalue ?? "null")).data;
  return dropped ? { status: "dropped", reason: dropped.dropped } : { status: "delivered", reason: null };
}

/** A try as it was noted; null for what is none. One that was only begun does not say its number, its place does. */
function parseTry(text: string | null | undefined, number?: number): DeliveryTry | null {
  const noted = z.record(z.string(), z.unknown()).safeParse(readJson(text ?? "")).data;
  return DeliveryTry.safeParse({ ...noted, ...(number !== undefined && { number }) }).data ?? null;
}

function texts(values: unknown): readonly (string | null)[] {
  return Array.isArray(values) ? values.map((value) => (value === null ? null : String(value))) : [];
}
