import { fillTemplate, type TickFacts } from "./fillTemplate.ts";
import { NewJob } from "./newJob.ts";
import { applyParams, type RollDice } from "./params.ts";

/** A template as it is kept: without secrets. */
export type JobTemplate = Readonly<Record<string, unknown>>;

/** `fault`: why the template makes no job that can be taken. */
export type TickJob =
  | { readonly job: Omit<NewJob, "secrets">; readonly fault?: undefined }
  | { readonly job?: undefined; readonly fault: string };

/** The job of one tick, as it will run: template filled in, params written, random seeds rolled, put off by `run_at`. */
export function makeTickJob(
  template: JobTemplate,
  tick: TickFacts,
  { runAtMs, roll }: { readonly runAtMs: number | undefined; readonly roll: RollDice },
): TickJob {
  const parsed = NewJob.safeParse(fillTemplate(template, tick));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { fault: `The template makes no job: job.${issue?.path.join(".") ?? ""} ${issue?.message ?? "is wrong"}` };
  }
  const { secrets: _none, ...job } = parsed.data;
  const { workflow, faults } = applyParams(job.workflow, job.params, roll);
  const [bad] = faults;
  if (bad) return { fault: `The template's param ${bad.param} leads to no place in its workflow (${bad.problem})` };
  const put = runAtMs === undefined ? {} : { run_at: new Date(runAtMs).toISOString() };
  return { job: { ...job, workflow, params: {}, ...put } };
}
