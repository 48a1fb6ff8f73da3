import { nowMs } from "./clock.ts";
import type { QueueRoom } from "./room.ts";
import type { Settings } from "./settings.ts";

/** What is known of an endpoint that has accepted nothing since. */
export interface FailingSince {
  /** Tries that failed since something was accepted. */
  readonly failures: number;
  readonly firstAtMs: number;
  /** When it became clear that it is no passing trouble; undefined: not yet. */
  readonly clockAtMs: number | undefined;
}

type Patience = Pick<Settings, "endpointPatienceMs" | "endpointFailures" | "endpointFailuresSpanMs">;

/**
 * `wait`: it may be a passing trouble; `start_clock`: it lasts; `disable`: nothing was accepted for days. The clock starts late on
 * purpose: one bad night with few events disables nobody.
 */
export function judgeEndpoint(
  { failures, firstAtMs, clockAtMs }: FailingSince,
  atMs: number,
  patience: Patience,
): "wait" | "start_clock" | "disable" {
  if (clockAtMs !== undefined) return atMs - clockAtMs >= patience.endpointPatienceMs ? "disable" : "wait";
  const isLasting = failures >= patience.endpointFailures && atMs - firstAtMs >= patience.endpointFailuresSpanMs;
  return isLasting ? "start_clock" : "wait";
}

/** The endpoint accepted something: whatever was, is forgotten. */
export async function noteAccepted({ redis, names }: QueueRoom, endpointId: string): Promise<void> {
  await redis.del(names.endpointFailures(endpointId));
}

/** The endpoint did not accept a try. @returns since when it has accepted nothing, if it is to be disabled now */
export async function noteRefused(room: QueueRoom, endpointId: string): Promise<Date | undefined> {
  const { redis, names, settings } = room;
  const key = names.endpointFailures(endpointId);
  const atMs = nowMs();
  await redis
    .pipeline()
    .hincrby(key, "failures", 1)
    .hsetnx(key, "first", atMs)
    .pexpire(key, 4 * settings.endpointPatienceMs)
    .exec();
  const [failures, first, clock] = await redis.hmget(key, "failures", "first", "clock");
  const since: FailingSince = {
    failures: Number(failures),
    firstAtMs: Number(first),
    clockAtMs: clock === null || clock === undefined ? undefined : Number(clock),
  };
  const judged = judgeEndpoint(since, atMs, settings);
  if (judged === "start_clock") await redis.hsetnx(key, "clock", atMs);
  if (judged !== "disable") return undefined;
  await redis.del(key);
  return new Date(since.firstAtMs);
}

/** The webhook that was named with this job wants no more; other events of the job are not sent to it. */
export async function noteHookGone(room: QueueRoom, jobId: string, deliveryId: string): Promise<void> {
  await room.redis.set(room.names.hookGone(jobId), deliveryId, "PX", room.retentionMs);
}
