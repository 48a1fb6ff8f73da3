import { type Job, JobPage } from "@comfyq/contract";
import { nowMs } from "@comfyq/runtime";
import { createApiClient } from "../api/apiClient.ts";
import { EXIT, type ExitCode } from "../CliError.ts";
import { readCliEnv } from "../config.ts";
import { nodeName } from "../run/describeProgress.ts";
import { table } from "../table.ts";

/** The options of `comfyq jobs`, as commander gives them. */
export interface JobsOptions {
  readonly status?: string;
  readonly tag?: string;
  readonly batch?: string;
  readonly pool?: string;
  readonly limit?: number;
  readonly cursor?: string;
  readonly json?: boolean;
}

/** `comfyq jobs`: one page of jobs, newest first. */
export async function jobs({ json, ...filters }: JobsOptions): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const given = Object.entries(filters).map(([name, value]): [string, string] => [name, String(value)]);
  const page = await client.ask({ path: `/v1/jobs?${new URLSearchParams(given).toString()}` }, JobPage);
  process.stdout.write(json ? `${JSON.stringify(page, null, 2)}\n` : shown(page));
  return EXIT.succeeded;
}

function shown({ jobs: page, next_cursor }: JobPage): string {
  if (page.length === 0) return "No jobs.\n";
  const rows = page.map((job) => [job.id, job.status, where(job), age(job, nowMs()), job.pool, job.tags.join(" ")]);
  const more = next_cursor === null ? "" : `older ones:  --cursor ${next_cursor}\n`;
  return `${table(["JOB", "STATUS", "", "AGE", "POOL", "TAGS"], rows)}\n${more}`;
}

function where(job: Job): string {
  if (job.error) return job.error.code;
  if (job.queue_position !== null) return `place ${job.queue_position}`;
  if (job.progress && job.completed_at === null)
    return `${Math.round(job.progress.value * 100)} % ${nodeName(job.progress)}`.trim();
  return job.outputs.length === 1 ? "1 output" : job.outputs.length > 1 ? `${job.outputs.length} outputs` : "";
}

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
] as const;

/** How long ago a job was made, in its largest whole unit. */
export function age(job: Pick<Job, "created_at">, atMs: number): string {
  const agoMs = Math.max(0, atMs - Date.parse(job.created_at));
  const [unit, unitMs] = UNITS.find(([, lengthMs]) => agoMs >= lengthMs) ?? ["s", 1_000];
  return `${Math.floor(agoMs / unitMs)} ${unit}`;
}
