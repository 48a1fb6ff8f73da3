import {
  canonicalJson,
  fillTemplate,
  NewSchedule,
  type ScheduleRule,
  TICK_WORDS,
  type TickFacts,
  unknownWords,
} from "@comfyq/contract";
import { nextMoment, readMomentRule } from "@comfyq/queue";
import { nowMs, type SecretBox, sha256Hex } from "@comfyq/runtime";
import { parseJson } from "../body/parseJson.ts";
import { zodFaults } from "../body/zodFaults.ts";
import { closestName } from "../closestName.ts";
import { ApiError, type Fault } from "../errors.ts";
import { hideOfTemplate, objectOf } from "./hideOfTemplate.ts";

const EXAMPLE = '{"cron": "30 2 * * *", "job": {"workflow": {…}}}';

/** A body that has the right form. Whether its job makes sense is not known yet. */
export interface ReadSchedule {
  readonly rule: ScheduleRule;
  /** As sent, with its secrets. */
  readonly job: Readonly<Record<string, unknown>>;
  readonly bodySha256: string;
}

/**
 * Bytes → a schedule, with every default filled in.
 * @throws ApiError `invalid_json` | `invalid_request`, with every faulty field
 */
export function readNewSchedule(bytes: Buffer, box: SecretBox): ReadSchedule {
  const body = parseJson(bytes, EXAMPLE);
  const parsed = NewSchedule.safeParse(body);
  const faults = parsed.success
    ? [...ruleFaults(parsed.data), ...templateFaults(parsed.data.job)]
    : zodFaults(parsed.error, Object.keys(NewSchedule.shape)).map((fault) => withZone(fault, body));
  const [first] = faults;
  if (!parsed.success || first) {
    const about = first ? `: ${first.path} ${first.message}` : `; write an object such as ${EXAMPLE}`;
    throw new ApiError("invalid_request", `The schedule cannot be taken${about}`, { details: faults });
  }
  const { job, ...rule } = parsed.data;
  return { rule, job, bodySha256: fingerprint({ rule, job }, box) };
}

/** The same for equal schedules, however they were written; of secrets only what tells them from others. */
function fingerprint({ rule, job }: Pick<ReadSchedule, "rule" | "job">, box: SecretBox): string {
  const { template, secrets, headers } = hideOfTemplate(job);
  const hidden = [secrets, headers].map((each) => (each === undefined ? null : box.digest(canonicalJson(each))));
  return sha256Hex(canonicalJson({ rule: definedOf(rule), job: template, hidden }));
}

function definedOf(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** A misspelt time zone is told what it most likely means, by its city too. */
function withZone(fault: Fault, body: unknown): Fault {
  if (fault.path !== "time_zone" || typeof body !== "object" || body === null) return fault;
  const { time_zone: zone }: { readonly time_zone?: unknown } = body;
  if (typeof zone !== "string") return fault;
  const known = Intl.supportedValuesOf("timeZone");
  const cities = new Map(known.map((name) => [name.slice(name.lastIndexOf("/") + 1), name]));
  const near = closestName(zone, known) ?? cities.get(closestName(zone, cities.keys()) ?? "");
  return near === undefined ? fault : { ...fault, message: `${fault.message}; did you mean ${near}?` };
}

/** A rule that can be read may still name nothing: 30 February. */
function ruleFaults({ cron, ...rule }: NewSchedule): readonly Fault[] {
  if (cron === undefined) return [];
  const everlasting = { ...rule, cron, start_at: undefined, end_at: undefined };
  const isNever = nextMoment(readMomentRule(everlasting, 0), nowMs()) === undefined;
  return isNever ? [{ path: "cron", message: "names a day that no calendar has; nothing would ever fire" }] : [];
}

function templateFaults(job: NewSchedule["job"]): readonly Fault[] {
  const { template } = hideOfTemplate(job);
  const unknown = unknownWords(template).map(({ path, word }) => ({
    path: `job.${path}`,
    message: `has {{${word}}}, which nothing fills; there are ${TICK_WORDS.map((known) => `{{${known}}}`).join(", ")}`,
  }));
  const runAt =
    "run_at" in template ? [{ path: "job.run_at", message: "is what the schedule says; leave it out" }] : [];
  return [...unknown, ...runAt];
}

/** The job as one tick would make it: what the checks of a submission look at. */
export function sampleJob(job: ReadSchedule["job"], { time_zone }: ScheduleRule): Record<string, unknown> {
  const { template, secrets, headers } = hideOfTemplate(job);
  const sample: TickFacts = { atMs: nowMs(), timeZone: time_zone, count: 1, seed: 1 };
  const filled = fillTemplate(template, sample);
  const webhook = headers === undefined ? {} : { webhook: { ...objectOf(filled["webhook"]), headers } };
  return { ...filled, ...webhook, ...(secrets !== undefined && { secrets }) };
}
