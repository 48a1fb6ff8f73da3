import { isTerminal, type Job } from "@comfyq/contract";
import type { ApiClient } from "../api/apiClient.ts";
import { EXIT, type ExitCode } from "../CliError.ts";
import { fromWhereCalled } from "../config.ts";
import { describeEnd } from "./describeProgress.ts";
import { exitCodeOf } from "./exitCodeOf.ts";
import { detachedWords, followJob } from "./followJob.ts";
import { saveOutputs } from "./saveOutputs.ts";

/** What is to be done with a job that has ended. */
export interface FinishOptions {
  /** Folder for its results. */
  readonly out?: string;
  /** Print the Job, and nothing else on standard output. */
  readonly json?: boolean;
}

/** Follows a job to its end, saves its results, tells how it ended. @returns the exit code that says the same */
export async function finishJob(client: ApiClient, jobId: string, options: FinishOptions): Promise<ExitCode> {
  const followed = await followJob(client, jobId, { isShown: true });
  if (followed.kind === "detached") {
    process.stderr.write(`${detachedWords(jobId)}\n`);
    return EXIT.detached;
  }
  const { job } = followed;
  const paths = options.out === undefined ? [] : await saveOutputs(client, job, fromWhereCalled(options.out));
  process.stdout.write(`${options.json ? JSON.stringify(job, null, 2) : resultWords(job, paths)}\n`);
  if (options.json) for (const path of paths) process.stderr.write(`saved ${path}\n`);
  return isTerminal(job.status) ? exitCodeOf(job.status) : EXIT.failed;
}

function resultWords(job: Job, paths: readonly string[]): string {
  const results = job.outputs.map((output, index) => `  ${paths[index] ?? output.url ?? shownValue(output.value)}`);
  return [describeEnd(job), ...results].join("\n");
}

function shownValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
