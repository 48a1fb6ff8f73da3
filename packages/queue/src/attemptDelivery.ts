import { type DeliveryTry, isTerminal, toMoment } from "@comfyq/contract";
import { type Job as BullJob, DelayedError, UnrecoverableError } from "bullmq";
import { nowMs } from "./clock.ts";
import { Delivery } from "./envelopes.ts";
import { comeBackIfCalled, enterGate, type GateLimits, type Guest, leaveGate, type Pace } from "./gate.ts";
import { readJob } from "./readJob.ts";
import type { QueueRoom } from "./room.ts";

/** One try, as it is to be made. */
export interface TryOrder {
  /** The `webhook-id`: the same on every try. */
  readonly eventId: string;
  readonly deliveryId: string;
  /** From 1; counts on when a delivery is sent again. */
  readonly number: number;
}

/** `again`: as the schedule has it, but not before `afterMs` from now. */
export type TryVerdict =
  | { readonly kind: "delivered" }
  | { readonly kind: "give_up" }
  | { readonly kind: "again"; readonly afterMs: number };

/** What came of one try. */
export interface TryReport extends Pick<DeliveryTry, "status" | "answer" | "message"> {
  readonly code: string;
  readonly latencyMs: number;
  readonly verdict: TryVerdict;
  /** Did the receiver answer at all? */
  readonly isAnswered: boolean;
}

/** A try that is to be repeated, no earlier than `afterMs` from now. */
class Again extends Error {
  readonly afterMs: number;
  constructor(message: string, afterMs: number) {
    super(message);
    this.name = "Again";
    this.afterMs = afterMs;
  }
}

/** What a receiver asked to be waited for, in ms, by the error that BullMQ got; 0: nothing. */
export function askedMsOf(error: unknown): number {
  return error instanceof Again ? error.afterMs : 0;
}

export interface AttemptTools {
  /** Makes the try. @throws for a fault of ours, or of Redis: tried again */
  readonly send: (delivery: Delivery, order: TryOrder, room: QueueRoom) => Promise<TryReport>;
  /** Called when the try stands in the log, before BullMQ knows. */
  readonly onNoted?: ((delivery: Delivery, order: TryOrder) => Promise<void>) | undefined;
  readonly limits: GateLimits;
  /** How this process is called in logs of tries. */
  readonly sender: string;
}

interface Held {
  readonly bullJob: BullJob;
  readonly token: string;
}

/**
 * One turn of a delivery: through the gate of its host, one try, what came of it into the log, and only then BullMQ is told. Where a
 * dispatcher dies in between, the try stands in the log as one of which nobody knows what came, and is made again.
 * @returns why nobody wants it any more; undefined: delivered
 * @throws DelayedError when it is not its turn; UnrecoverableError when it is given up; others to try again
 */
export async function attemptDelivery(
  room: QueueRoom,
  tools: AttemptTools,
  held: Held,
): Promise<{ readonly dropped: string } | undefined> {
  const { bullJob } = held;
  const delivery = Delivery.parse(bullJob.data);
  const guest: Guest = { id: String(bullJob.id), tenant: delivery.tenant, host: hostOf(delivery.url) };
  const unwanted = await whyUnwanted(room, delivery, bullJob);
  if (unwanted) {
    const failedMadeAtMs = unwanted.isFailure ? bullJob.timestamp : undefined;
    await leave(room, tools, guest, { number: 0, closed: "", pace: "unknown", failedMadeAtMs });
    if (unwanted.isFailure) throw new UnrecoverableError(unwanted.why);
    return { dropped: unwanted.why };
  }
  const begun = { at: toMoment(nowMs()), dispatcher: tools.sender };
  const opened = JSON.stringify({ ...begun, status: null, code: null, latency_ms: null, answer: null, message: null });
  const entered = await enterGate(room, guest, { limits: tools.limits, opened });
  if (entered.kind === "line") return standInLine(room, tools, { held, guest, place: entered.place });
  return makeTry(room, tools, { delivery, bullJob, guest, number: entered.number, begun });
}

interface Turn {
  readonly delivery: Delivery;
  readonly bullJob: BullJob;
  readonly guest: Guest;
  readonly number: number;
  readonly begun: Pick<DeliveryTry, "at" | "dispatcher">;
}

async function makeTry(room: QueueRoom, tools: AttemptTools, turn: Turn): Promise<undefined> {
  const { delivery, bullJob, guest, number, begun } = turn;
  const order: TryOrder = { eventId: delivery.eventId ?? guest.id, deliveryId: guest.id, number };
  const report = await tools.send(delivery, order, room).catch((error: unknown) => brokenReport(error));
  const { status, code, latencyMs, answer, message, verdict } = report;
  const isLast = verdict.kind === "give_up" || bullJob.attemptsMade + 1 >= (bullJob.opts.attempts ?? 1);
  const hasFailed = verdict.kind !== "delivered" && isLast;
  const closed: DeliveryTry = { ...begun, number, status, code, latency_ms: latencyMs, answer, message };
  await leave(room, tools, guest, {
    number,
    closed: JSON.stringify(closed),
    pace: paceOf(report, room.settings.swiftAnswerMs),
    failedMadeAtMs: hasFailed ? bullJob.timestamp : undefined,
  });
  await tools.onNoted?.(delivery, order);
  if (verdict.kind === "delivered") return undefined;
  const why = message ?? code;
  throw verdict.kind === "give_up" ? new UnrecoverableError(why) : new Again(why, verdict.afterMs);
}

function leave(
  room: QueueRoom,
  { limits }: AttemptTools,
  guest: Guest,
  leaving: Parameters<typeof leaveGate>[2]["leaving"],
) {
  return leaveGate(room, guest, { limits, leaving });
}

/** Something of ours broke: nobody knows whether the event went out, so it is sent again. */
function brokenReport(error: unknown): TryReport {
  const message = `comfyq could not send it: ${error instanceof Error ? error.message : String(error)}; it is tried again`;
  const nothing = { status: null, answer: null, isAnswered: false, latencyMs: 0 };
  return { ...nothing, code: "internal", message, verdict: { kind: "again", afterMs: 0 } };
}

function paceOf({ code, latencyMs, isAnswered }: TryReport, swiftAnswerMs: number): Pace {
  if (code === "internal" || code === "endpoint_disabled") return "unknown";
  if (latencyMs <= swiftAnswerMs) return "swift";
  return isAnswered ? "slow" : "silent";
}

interface Standing {
  readonly held: Held;
  readonly guest: Guest;
  readonly place: number;
}

/** Puts it off; it is called when its turn has come. Should nobody be left to call, it comes by itself, by its place in the line. */
async function standInLine(
  room: QueueRoom,
  { limits }: AttemptTools,
  { held, guest, place }: Standing,
): Promise<never> {
  const turnMs = ((place + 1) * limits.leaseMs) / limits.perHost;
  const waitMs = Math.max(Math.min(turnMs, room.settings.longestLineMs), limits.leaseMs / limits.perHost);
  await held.bullJob.moveToDelayed(nowMs() + waitMs, held.token);
  await comeBackIfCalled(room, guest, limits);
  throw new DelayedError();
}

interface Unwanted {
  readonly why: string;
  /** True: it can be sent again. */
  readonly isFailure: boolean;
}

async function whyUnwanted(room: QueueRoom, delivery: Delivery, bullJob: BullJob): Promise<Unwanted | undefined> {
  const { settings, redis, names } = room;
  const { type, jobId, endpointId, tenant } = delivery;
  const ageMs = nowMs() - bullJob.timestamp;
  const stale = (why: string): Unwanted => ({ why, isFailure: false });
  if (type === "job.output" && ageMs > settings.staleOutputMs)
    return stale("too late: the job's end tells of all outputs");
  if (type === "job.progress" && ageMs > settings.staleProgressMs) return stale("too late: there is newer progress");
  if (jobId === null) return undefined;
  if (type === "job.progress") {
    const job = await readJob(room, tenant, jobId);
    if (!job || isTerminal(job.status)) return stale("too late: the job has ended");
  }
  if (endpointId !== null) return undefined;
  const goneBy = await redis.get(names.hookGone(jobId));
  if (goneBy === null || goneBy === bullJob.id) return undefined;
  return { why: "the webhook of this job answered 410 Gone to an earlier event; it wants no more", isFailure: true };
}

function hostOf(url: string): string {
  return URL.parse(url)?.host ?? "";
}
