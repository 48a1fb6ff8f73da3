import { JobId, ScheduleRule, Tick } from "@comfyq/contract";
import * as z from "zod";
import { readJson } from "../readAttempt.ts";
import type { QueueRoom } from "../room.ts";

/** A tick that was decided and whose job is to be made, by whoever comes first; it is always the same job. */
export const PendingTick = z.object({
  tickAtMs: z.number(),
  decidedAtMs: z.number(),
  /** Which tick of the schedule it is, from 1. */
  count: z.int(),
  /** Jobs that make way for it. */
  cancels: z.array(JobId),
});
export type PendingTick = z.infer<typeof PendingTick>;

/** News of missed moments that is to be told; `reason` says why they were. */
export const MissedNews = z.object({
  oldestMs: z.number(),
  newestMs: z.number(),
  count: z.int(),
  reason: z.string(),
  atMs: z.number(),
});
export type MissedNews = z.infer<typeof MissedNews>;

/** One schedule and how far it has come, without its template. */
export interface ScheduleState {
  readonly tenant: string;
  readonly name: string;
  /** Another one when it was deleted and made anew. */
  readonly id: string;
  readonly rule: ScheduleRule;
  /** Fingerprint of the body that it was written with. */
  readonly bodySha256: string;
  /** Rises with everything that changes when it fires. */
  readonly version: number;
  /** The version that its alarm was set for; 0: none is. */
  readonly alarmVersion: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly pausedAtMs: number | undefined;
  /** Everything up to this moment was decided. */
  readonly cursorMs: number;
  readonly fired: number;
  readonly failures: number;
  readonly pending: PendingTick | undefined;
  /** The moment that waits for the end of the job before it. */
  readonly heldMs: number | undefined;
  readonly news: MissedNews | undefined;
  readonly lastTick: Tick | undefined;
}

const FIELDS = [
  "id",
  "rule",
  "body_sha256",
  "version",
  "alarm_version",
  "created_at_ms",
  "updated_at_ms",
  "paused_at_ms",
  "cursor_ms",
  "fired",
  "failures",
  "pending",
  "held_ms",
  "news",
  "last_tick",
] as const;

/** Whose, and which. */
export interface ScheduleRef {
  readonly tenant: string;
  readonly name: string;
}

/** @returns undefined when there is none of this tenant */
export async function readSchedule({ redis, names }: QueueRoom, ref: ScheduleRef): Promise<ScheduleState | undefined> {
  const values = await redis.hmget(names.schedule(ref.tenant, ref.name), ...FIELDS);
  const field = Object.fromEntries(FIELDS.map((name, at) => [name, values[at] ?? undefined]));
  const number = (name: (typeof FIELDS)[number]) => (field[name] === undefined ? undefined : Number(field[name]));
  const { id, rule, pending, news, last_tick } = field;
  if (id === undefined || rule === undefined) return undefined;
  return {
    ...ref,
    id,
    rule: ScheduleRule.parse(JSON.parse(rule)),
    bodySha256: field["body_sha256"] ?? "",
    version: number("version") ?? 1,
    alarmVersion: number("alarm_version") ?? 0,
    createdAtMs: number("created_at_ms") ?? 0,
    updatedAtMs: number("updated_at_ms") ?? 0,
    pausedAtMs: number("paused_at_ms"),
    cursorMs: number("cursor_ms") ?? 0,
    fired: number("fired") ?? 0,
    failures: number("failures") ?? 0,
    pending: pending === undefined ? undefined : PendingTick.parse(JSON.parse(pending)),
    heldMs: number("held_ms"),
    news: news === undefined ? undefined : MissedNews.parse(JSON.parse(news)),
    lastTick: last_tick === undefined ? undefined : Tick.safeParse(readJson(last_tick)).data,
  };
}

/** What a schedule's jobs are made from. */
export interface ScheduleTemplate {
  readonly job: Readonly<Record<string, unknown>>;
  readonly sealedSecrets: string | undefined;
  readonly sealedHeaders: string | undefined;
}

const Template = z.record(z.string(), z.unknown());

export async function readTemplate(
  { redis, names }: QueueRoom,
  { tenant, name }: ScheduleRef,
): Promise<ScheduleTemplate | undefined> {
  const [job, secrets, headers] = await redis.hmget(names.schedule(tenant, name), "template", "secrets", "headers");
  if (!job) return undefined;
  const sealed = { sealedSecrets: secrets || undefined, sealedHeaders: headers || undefined };
  return { job: Template.parse(JSON.parse(job)), ...sealed };
}

/** A schedule among those of all tenants. No tenant has a slash in its name. */
export function scheduleMember({ tenant, name }: ScheduleRef): string {
  return `${tenant}/${name}`;
}

export function refOf(member: string): ScheduleRef {
  const at = member.indexOf("/");
  return { tenant: member.slice(0, at), name: member.slice(at + 1) };
}
