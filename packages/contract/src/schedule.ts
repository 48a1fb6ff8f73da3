import * as z from "zod";
import { CronError, parseCron } from "./cron.ts";
import { JobId, Moment, Uuid } from "./ids.ts";
import { ScheduleName } from "./jobOrigin.ts";
import { TimeZone } from "./timeZone.ts";

export const SCHEDULE_LIMITS = {
  /** Of one tenant. */
  count: 1_000,
  /** Late moments that `catch_up: "all"` makes up for, at most. */
  catchUp: 1_000,
  nextShown: 10,
} as const;

/** What happens at a moment when the schedule's job before has not ended. */
export const OverlapPolicy = z.enum(["allow", "skip", "queue_one", "cancel_previous"]);
export type OverlapPolicy = z.infer<typeof OverlapPolicy>;

/** What happens to moments that passed while nobody was there to fire them. */
export const CatchUpPolicy = z.enum(["none", "last", "all"]);
export type CatchUpPolicy = z.infer<typeof CatchUpPolicy>;

const CronText = z
  .string()
  .max(256)
  .superRefine((text, context) => {
    try {
      parseCron(text);
    } catch (error) {
      if (!(error instanceof CronError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
    }
  })
  .meta({ description: "minute hour day month weekday; six fields: second first", example: "30 2 * * MON-FRI" });

/** Everything of a schedule but its job. */
const RULE_FIELDS = {
  cron: CronText.optional(),
  every_s: z
    .int()
    .min(1)
    .max(31_622_400)
    .optional()
    .meta({ description: "Instead of cron: every so many seconds, counted from start_at, or from when it was made" }),
  time_zone: TimeZone.default("UTC"),
  start_at: Moment.optional().meta({ description: "No moment before this one" }),
  end_at: Moment.optional().meta({ description: "No moment after this one" }),
  limit: z.int().min(1).max(1_000_000_000).optional().meta({ description: "Over after so many ticks that fired" }),
  jitter_s: z
    .int()
    .min(0)
    .max(86_400)
    .default(0)
    .meta({ description: "Each job waits up to so many seconds more; how many depends on schedule and moment only" }),
  overlap: OverlapPolicy.default("allow").meta({
    description:
      "When a job of this schedule has not ended: allow: make the next beside it; skip: make none; queue_one: one tick " +
      "waits for its end, others are skipped; cancel_previous: cancel it and make the next",
  }),
  catch_up: CatchUpPolicy.default("last").meta({
    description:
      "Of moments that passed while no dispatcher ran: fire none, the last, or all (the newest catch_up_max)",
  }),
  catch_up_max: z.int().min(1).max(SCHEDULE_LIMITS.catchUp).default(100),
  webhook: z
    .strictObject({ url: z.url({ protocol: /^https?$/ }).max(2_048) })
    .optional()
    .meta({ description: "Who is told schedule.missed. Ends of its jobs are told to the webhook of `job`" }),
};

/** A schedule without its job: when it fires, and what then. */
export const ScheduleRule = z.object(RULE_FIELDS);
export type ScheduleRule = z.infer<typeof ScheduleRule>;

/**
 * What `PUT /v1/schedules/{name}` takes. `job` is what POST /v1/jobs takes; its strings may hold `{{tick.date}}` and others
 * (fillTemplate), so it is read as a job only after these were filled in.
 */
export const NewSchedule = z
  .strictObject({ ...RULE_FIELDS, job: z.record(z.string(), z.unknown()) })
  .superRefine((rule, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if (rule.cron === undefined && rule.every_s === undefined) issue("cron", "is missing; give cron or every_s");
    if (rule.cron !== undefined && rule.every_s !== undefined)
      issue("every_s", "stands beside cron; give one of the two");
    if (rule.start_at !== undefined && rule.end_at !== undefined && Date.parse(rule.end_at) < Date.parse(rule.start_at))
      issue("end_at", "is before start_at; nothing would ever fire");
  })
  .meta({ id: "NewSchedule" });
export type NewSchedule = z.infer<typeof NewSchedule>;

/**
 * What came of one moment. `job`: it made one. `waiting`: it will, when the job before has ended or there is room. `skipped`:
 * the job before had not ended. `missed`: it passed unfired, with `count - 1` others before it. `failed`: the template made no
 * job that can be taken.
 */
export const TickOutcome = z.enum(["job", "waiting", "skipped", "missed", "failed"]);
export type TickOutcome = z.infer<typeof TickOutcome>;

export const Tick = z
  .object({
    tick_at: Moment.meta({ description: "The moment, as the rule has it" }),
    decided_at: Moment.meta({ description: "When a dispatcher came to it" }),
    trigger: z.enum(["rule", "run_now"]),
    outcome: TickOutcome,
    job_id: JobId.nullable(),
    canceled: z.array(JobId).meta({ description: "Jobs that had to make way (overlap cancel_previous)" }),
    count: z.int().positive().meta({ description: "Moments that this entry stands for; 1, but for missed ones" }),
    reason: z.string().nullable().meta({ description: "Why it made no job, or none yet" }),
  })
  .meta({ id: "Tick" });
export type Tick = z.infer<typeof Tick>;

export const TickPage = z.object({ ticks: z.array(Tick), next_cursor: z.string().nullable() }).meta({ id: "TickPage" });
export type TickPage = z.infer<typeof TickPage>;

/** A schedule as its owner sees it in a list. */
export const ScheduleSummary = ScheduleRule.extend({
  id: Uuid.meta({ description: "Of this schedule; one that is made anew under the same name has another" }),
  name: ScheduleName,
  state: z.enum(["active", "paused", "over"]).meta({ description: "over: no moment is left" }),
  created_at: Moment,
  updated_at: Moment,
  paused_at: Moment.nullable(),
  fired: z.int().nonnegative().meta({ description: "Ticks that fired so far; what limit counts" }),
  consecutive_failures: z.int().nonnegative().meta({ description: "Ticks in a row whose template made no job" }),
  open_jobs: z.array(JobId).meta({ description: "Its jobs that are not known to have ended" }),
  last_tick: Tick.nullable(),
  next_at: z.array(Moment).meta({ description: "The next ten moments, without jitter; none while it is paused" }),
  urls: z.object({ self: z.string(), ticks: z.string(), run: z.string() }),
}).meta({ id: "ScheduleSummary" });
export type ScheduleSummary = z.infer<typeof ScheduleSummary>;

export const Schedule = ScheduleSummary.extend({
  job: z.record(z.string(), z.unknown()).meta({ description: "The template, without its secrets" }),
}).meta({ id: "Schedule" });
export type Schedule = z.infer<typeof Schedule>;

export const SchedulePage = z
  .object({ schedules: z.array(ScheduleSummary), next_cursor: z.string().nullable() })
  .meta({ id: "SchedulePage" });
export type SchedulePage = z.infer<typeof SchedulePage>;
