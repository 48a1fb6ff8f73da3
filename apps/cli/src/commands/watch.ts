import { createApiClient } from "../api/apiClient.ts";
import type { ExitCode } from "../CliError.ts";
import { readCliEnv } from "../config.ts";
import { type FinishOptions, finishJob } from "../run/finishJob.ts";

/** `comfyq watch`: follows a job that was submitted before, and tells how it ended. */
export async function watch(jobId: string, options: FinishOptions): Promise<ExitCode> {
  return finishJob(createApiClient(readCliEnv()), jobId, options);
}
