import { COMFYQ_NAMESPACE, Job, makeTickJob, type NewJob, toMoment, uuidV5 } from "@comfyq/contract";
import type { ScheduleState } from "@comfyq/queue";
import { newId, nowMs, rollSeed, sha256Hex } from "@comfyq/runtime";
import * as z from "zod";
import { ApiError } from "../errors.ts";
import { idempotencyKey } from "../idempotency.ts";
import { owned } from "../ownJob.ts";
import { showJob } from "../presentJob.ts";
import type { Rooms } from "../rooms.ts";
import { type Call, json, type Route, route } from "../route.ts";
import { ownedSchedule, readOwnSchedule } from "../schedules/ownSchedule.ts";
import { queueJob } from "../submit/queueJob.ts";
import { SCHEDULE_PATH } from "./schedules.ts";
import { SUBMIT_HEADERS, SUBMITTED_HEADERS } from "./submitJob.ts";

export function runScheduleRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: `${SCHEDULE_PATH}/run`,
    scope: "submit",
    tag: "Schedules",
    summary: "Make a schedule's job now, out of turn",
    description:
      "Also when it is paused, and whatever its overlap policy says; its moments and its limit stay as they are. " +
      "{{tick.count}} is the count of the tick before.",
    params: z.object({ name: z.string() }),
    headers: SUBMIT_HEADERS.omit({ Prefer: true }),
    answers: { 201: { ...json("The job", Job), headers: SUBMITTED_HEADERS.omit({ "Preference-Applied": true }) } },
    errors: ["not_found", "invalid_request", "missing_asset", "limit_reached", "queue_full"],
    run: async (call) => runNow(rooms, call, await readOwnSchedule(rooms, call)),
  });
}

async function runNow(rooms: Rooms, call: Call, state: ScheduleState): Promise<void> {
  const { tenant, name, id: scheduleId } = state;
  const key = idempotencyKey(call.req);
  const id = key === undefined ? newId() : uuidV5(`schedule:${scheduleId}:run:${key}`, COMFYQ_NAMESPACE);
  const known = key === undefined ? undefined : await rooms.producer.read(tenant, id);
  const atMs = Date.parse(known?.schedule?.tick_at ?? toMoment(nowMs()));
  if (!known) await submitRun(rooms, state, { id, atMs });
  // Before the answer: whoever hears of the job finds it in the history.
  const tick = { tick_at: toMoment(atMs), decided_at: toMoment(atMs), trigger: "run_now", outcome: "job" } as const;
  const entry = { atMs, key: `run:${id}`, tick: { ...tick, job_id: id, canceled: [], count: 1, reason: null } };
  await rooms.producer.schedules.noteRun(state, { entry, jobId: id });
  const shown = await showJob(rooms, call, owned(id, await rooms.producer.read(tenant, id)));
  if (known) call.res.set("Idempotency-Replayed", "true");
  call.res.status(201).set({ Location: shown.urls.self }).json(shown);
  rooms.logger.info({ schedule: name, jobId: id }, "schedule run out of turn");
}

interface Run {
  readonly id: string;
  readonly atMs: number;
}

async function submitRun(rooms: Rooms, state: ScheduleState, { id, atMs }: Run): Promise<void> {
  const { tenant, name, rule } = state;
  const template = ownedSchedule(state, await rooms.producer.schedules.template(state));
  const seed = Number.parseInt(sha256Hex(id).slice(0, 13), 16);
  const facts = { atMs, timeZone: rule.time_zone, count: Math.max(1, state.fired), seed };
  const made = makeTickJob(template.job, facts, { runAtMs: undefined, roll: rollSeed });
  if (!made.job) throw new ApiError("invalid_request", `${made.fault}; mend it with PUT /v1/schedules/${name}`);
  const job: NewJob = made.job;
  const bodySha256 = sha256Hex(id);
  const origin = { schedule: { name, tick_at: toMoment(atMs) } };
  const { sealedSecrets, sealedHeaders } = template;
  const sealed = { sealedSecrets, sealedHeaders };
  await queueJob(rooms, tenant, { id, job, bodySha256, canonicalSha256: bodySha256, ...sealed, origin });
}
