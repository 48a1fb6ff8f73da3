import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { Workflow } from "@comfyq/contract";
import { CliError } from "../CliError.ts";
import { parseParams } from "./parseParam.ts";
import { parseWorkflow } from "./readWorkflow.ts";

/** What the command line says of a schedule, as commander gives it. */
export interface ScheduleWish {
  readonly cron?: string;
  readonly every?: number;
  readonly timeZone?: string;
  readonly start?: string;
  readonly end?: string;
  readonly times?: number;
  readonly jitter?: number;
  readonly overlap?: string;
  readonly catchUp?: string;
  readonly param?: readonly string[];
  readonly pool?: string;
  readonly tag?: readonly string[];
}

/**
 * The body of a schedule: what the file says, and over it what the command line does. The file is a whole schedule, or a
 * workflow in ComfyUI's API format; `-` is standard input.
 * @throws CliError `bad_input`
 */
export async function readScheduleBody(file: string, wish: ScheduleWish): Promise<object> {
  const content = await (file === "-" ? text(process.stdin) : readFile(file, "utf8")).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliError("bad_input", `The schedule cannot be read: ${why}`, { cause });
  });
  const whole = wholeSchedule(content);
  const { job = { workflow: whole ? undefined : parseWorkflow(content, file) }, ...rule } = whole ?? {};
  return { ...rule, ...ruleOf(wish), job: { ...job, ...jobOf(job, wish) } };
}

interface WholeSchedule {
  readonly job?: Readonly<Record<string, unknown>>;
}

/** @returns undefined when it is a workflow, or nothing that can be read: that is told by whoever reads it as one */
function wholeSchedule(content: string): WholeSchedule | undefined {
  try {
    const value: unknown = JSON.parse(content);
    const isWhole = typeof value === "object" && value !== null && "job" in value && typeof value.job === "object";
    return isWhole ? (value as WholeSchedule) : undefined; // looked at just now; the API judges the rest
  } catch {
    return undefined;
  }
}

function ruleOf({ cron, every, timeZone, start, end, times, jitter, overlap, catchUp }: ScheduleWish): object {
  const said = {
    cron,
    every_s: every,
    time_zone: timeZone,
    start_at: start,
    end_at: end,
    limit: times,
    jitter_s: jitter,
    overlap,
    catch_up: catchUp,
  };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

function jobOf(job: Readonly<Record<string, unknown>>, { param, pool, tag }: ScheduleWish): object {
  const { params, workflow } = job;
  const before = typeof params === "object" && params !== null ? params : {};
  const graph = Workflow.safeParse(workflow).data ?? {}; // the API says what is wrong with another one
  const written = param === undefined ? {} : { params: { ...before, ...parseParams(graph, param) } };
  return { ...written, ...(pool !== undefined && { pool }), ...(tag !== undefined && { tags: tag }) };
}
