import { Job, Schedule, SchedulePage, ScheduleSummary, type Tick, TickPage } from "@comfyq/contract";
import { type ApiClient, createApiClient } from "../api/apiClient.ts";
import { EXIT, type ExitCode } from "../CliError.ts";
import { ownName, readCliEnv } from "../config.ts";
import { readScheduleBody, type ScheduleWish } from "../run/readScheduleBody.ts";
import { table } from "../table.ts";

/** How an answer is shown, and which part of a list. */
export interface SchedulesOptions {
  readonly json?: boolean;
  readonly limit?: number;
  readonly cursor?: string;
}

/** `comfyq schedules list`: one page, by name. */
export async function listSchedules({ json, ...page }: SchedulesOptions): Promise<ExitCode> {
  const found = await client().ask({ path: `/v1/schedules?${queryOf(page)}` }, SchedulePage);
  const rows = found.schedules.map((one) => [one.name, one.state, ruleOf(one), one.next_at[0] ?? "", lastOf(one)]);
  const shown = rows.length === 0 ? "No schedules." : table(["SCHEDULE", "STATE", "RULE", "NEXT", "LAST"], rows);
  return tell(json, found, [shown, ...more(found.next_cursor)]);
}

/** `comfyq schedules show`: one schedule and its next moments. */
export async function showSchedule(name: string, { json }: SchedulesOptions): Promise<ExitCode> {
  const schedule = await client().ask({ path: pathOf(name) }, Schedule);
  return tell(json, schedule, describe(schedule));
}

/** `comfyq schedules put`: makes a schedule, or changes it. */
export async function putSchedule(
  name: string,
  file: string,
  wish: ScheduleWish & SchedulesOptions,
): Promise<ExitCode> {
  const body = await readScheduleBody(file, wish);
  const schedule = await client().ask({ method: "PUT", path: pathOf(name), json: body }, Schedule);
  return tell(wish.json, schedule, describe(schedule));
}

export async function deleteSchedule(name: string): Promise<ExitCode> {
  await client().send({ method: "DELETE", path: pathOf(name) });
  return tell(false, undefined, [`Schedule ${name} is gone; jobs that it made go on.`]);
}

/** `comfyq schedules pause` and `resume`. */
export async function pauseSchedule(
  name: string,
  wish: "pause" | "resume",
  { json }: SchedulesOptions,
): Promise<ExitCode> {
  const schedule = await client().ask({ method: "POST", path: `${pathOf(name)}/${wish}` }, ScheduleSummary);
  return tell(json, schedule, describe(schedule));
}

/** `comfyq schedules run`: its job, now. */
export async function runSchedule(
  name: string,
  { json, key }: SchedulesOptions & { readonly key?: string },
): Promise<ExitCode> {
  const headers = key === undefined ? {} : { "idempotency-key": key };
  const job = await client().ask({ method: "POST", path: `${pathOf(name)}/run`, headers }, Job);
  return tell(json, job, [`Job ${job.id} ${job.status}`, `  follow it:  ${ownName()} watch ${job.id}`]);
}

/** `comfyq schedules ticks`: what came of its moments, newest first. */
export async function listTicks(name: string, { json, ...page }: SchedulesOptions): Promise<ExitCode> {
  const found = await client().ask({ path: `${pathOf(name)}/ticks?${queryOf(page)}` }, TickPage);
  const rows = found.ticks.map((tick) => [
    tick.tick_at,
    tick.trigger,
    outcomeOf(tick),
    tick.job_id ?? "",
    tick.reason ?? "",
  ]);
  const shown = rows.length === 0 ? "No ticks." : table(["MOMENT", "TRIGGER", "OUTCOME", "JOB", "WHY"], rows);
  return tell(json, found, [shown, ...more(found.next_cursor)]);
}

function client(): ApiClient {
  return createApiClient(readCliEnv());
}

function pathOf(name: string): string {
  return `/v1/schedules/${encodeURIComponent(name)}`;
}

function queryOf(page: Readonly<Record<string, unknown>>): string {
  const given = Object.entries(page).map(([name, value]): [string, string] => [name, String(value)]);
  return new URLSearchParams(given).toString();
}

function tell(json: boolean | undefined, answer: unknown, lines: readonly string[]): ExitCode {
  process.stdout.write(json ? `${JSON.stringify(answer, null, 2)}\n` : `${lines.join("\n")}\n`);
  return EXIT.succeeded;
}

function more(cursor: string | null): readonly string[] {
  return cursor === null ? [] : [`\nmore:  --cursor ${cursor}`];
}

function ruleOf({ cron, every_s, time_zone }: ScheduleSummary): string {
  return cron === undefined ? `every ${every_s} s` : `${cron} (${time_zone})`;
}

function lastOf({ last_tick }: ScheduleSummary): string {
  return last_tick ? `${outcomeOf(last_tick)} ${last_tick.tick_at}` : "";
}

function outcomeOf({ outcome, count }: Tick): string {
  return count === 1 ? outcome : `${outcome} (${count})`;
}

function describe(schedule: ScheduleSummary): readonly string[] {
  const { name, state, overlap, catch_up, fired, limit, consecutive_failures: failures, last_tick, next_at } = schedule;
  const troubles = failures === 0 ? [] : [`  failed:   ${failures} in a row; last: ${last_tick?.reason ?? ""}`];
  return [
    `Schedule ${name} is ${state}`,
    `  rule:     ${ruleOf(schedule)}`,
    `  overlap:  ${overlap}, catch-up: ${catch_up}`,
    `  fired:    ${fired}${limit === undefined ? "" : ` of ${limit}`}`,
    ...(last_tick ? [`  last:     ${lastOf(schedule)}`] : []),
    ...troubles,
    ...(next_at.length === 0 ? [] : ["  next:", ...next_at.map((moment) => `    ${moment}`)]),
  ];
}
