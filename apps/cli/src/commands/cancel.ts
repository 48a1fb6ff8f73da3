import { Job } from "@comfyq/contract";
import { createApiClient } from "../api/apiClient.ts";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { readCliEnv } from "../config.ts";

/** `comfyq cancel`: asks for the end of jobs; each is told of, one that cannot be canceled does not spare the others. */
export async function cancel(jobIds: readonly string[]): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  let worst: ExitCode = EXIT.succeeded;
  for (const jobId of jobIds) {
    try {
      const path = `/v1/jobs/${encodeURIComponent(jobId)}/cancel`;
      const job = await client.ask({ method: "POST", path }, Job);
      process.stdout.write(`Job ${job.id} ${job.status}\n`);
    } catch (error) {
      if (!(error instanceof CliError) || error.code === "unreachable") throw error;
      process.stderr.write(`Job ${jobId}: ${error.message}\n`);
      worst = error.exitCode;
    }
  }
  return worst;
}
