import type { JobStatus } from "@comfyq/contract";
import { EXIT, type ExitCode } from "../CliError.ts";

/** What a script learns from the way a job stands; one that has not ended is no failure. */
export function exitCodeOf(status: JobStatus): ExitCode {
  if (status === "failed" || status === "canceled" || status === "expired") return EXIT[status];
  return EXIT.succeeded;
}
