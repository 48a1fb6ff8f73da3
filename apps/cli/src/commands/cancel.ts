import { isTerminal, Job } from "@comfyq/contract";
import { type ApiClient, createApiClient } from "../api/apiClient.ts";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { ownName, readCliEnv } from "../config.ts";
import { describeEnd } from "../run/describeProgress.ts";
import { detachedWords, followJob } from "../run/followJob.ts";

/** The options of `comfyq cancel`, as commander gives them. */
export interface CancelOptions {
  /** Stay until the GPU has stopped. */
  readonly watch?: boolean;
}

/** `comfyq cancel`: asks for the end of jobs; each is told of, one that cannot be canceled does not spare the others. */
export async function cancel(jobIds: readonly string[], options: CancelOptions): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const canceling: string[] = [];
  let worst: ExitCode = EXIT.succeeded;
  for (const jobId of jobIds) {
    try {
      const path = `/v1/jobs/${encodeURIComponent(jobId)}/cancel`;
      const job = await client.ask({ method: "POST", path }, Job);
      if (!isTerminal(job.status)) canceling.push(jobId);
      process.stdout.write(`${isTerminal(job.status) ? describeEnd(job) : cancelingWords(job, options)}\n`);
    } catch (error) {
      if (!(error instanceof CliError) || error.code === "unreachable") throw error;
      process.stderr.write(`Job ${jobId}: ${error.message}\n`);
      worst = error.exitCode;
    }
  }
  if (options.watch)
    for (const jobId of canceling) {
      const code = await watchStop(client, jobId);
      if (code !== EXIT.succeeded) worst = code;
    }
  return worst;
}

function cancelingWords({ id, status }: Job, { watch }: CancelOptions): string {
  return watch ? `Job ${id} ${status}` : `Job ${id} ${status}\n  see it stop:  ${ownName()} watch ${id}`;
}

/** Waits until the job has ended, and tells how its GPU was stopped. What ends otherwise after all was not canceled. */
async function watchStop(client: ApiClient, jobId: string): Promise<ExitCode> {
  const followed = await followJob(client, jobId, { isShown: false });
  if (followed.kind === "detached") {
    process.stderr.write(`${detachedWords(jobId)}\n`);
    return EXIT.detached;
  }
  process.stdout.write(`${describeEnd(followed.job)}\n`);
  return followed.job.status === "canceled" ? EXIT.succeeded : EXIT.failed;
}
