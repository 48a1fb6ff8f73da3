import { Job, RETRY_LIMIT, type RetriedJob, RetryReport, type RetryRequest } from "@comfyq/contract";
import { type ApiClient, createApiClient } from "../api/apiClient.ts";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { ownName, readCliEnv } from "../config.ts";
import { describeRetries } from "../run/describeRetries.ts";

/** The options of `comfyq retry`, as commander gives them. */
export interface RetryOptions {
  readonly failed?: boolean;
  readonly canceled?: boolean;
  readonly expired?: boolean;
  readonly code?: string;
  readonly tag?: string;
  readonly pool?: string;
  readonly after?: string;
  readonly before?: string;
  /** Jobs at most; more than one request takes is asked for in several. */
  readonly limit?: number;
  readonly cursor?: string;
  readonly key?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const DEFAULT_LIMIT = 1_000;

/** `comfyq retry`: submits ended jobs again, those that are named or all of a filter. */
export async function retry(jobIds: readonly string[], options: RetryOptions): Promise<ExitCode> {
  const { json, ...choice } = options;
  const status = statusOf(options);
  if (jobIds.length > 0 && Object.keys(choice).length > 0)
    throw new CliError("bad_input", "Name jobs, or choose them by --failed and the like; both at once is not taken");
  if (jobIds.length > 0) return retryNamed(jobIds, json === true);
  if (!status) throw new CliError("bad_input", "Which jobs? Name them, or say --failed, --canceled or --expired");
  return retryChosen(status, options);
}

function statusOf({ failed, canceled, expired }: RetryOptions): RetryRequest["status"] | undefined {
  if (failed) return "failed";
  if (canceled) return "canceled";
  return expired ? "expired" : undefined;
}

/** Each is told of; one that cannot be retried does not spare the others. */
async function retryNamed(jobIds: readonly string[], json: boolean): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  let worst: ExitCode = EXIT.succeeded;
  for (const jobId of jobIds) {
    try {
      const path = `/v1/jobs/${encodeURIComponent(jobId)}/retry`;
      const job = await client.ask({ method: "POST", path }, Job);
      process.stdout.write(`${json ? JSON.stringify(job, null, 2) : `Job ${job.id} ${job.status}, from ${jobId}`}\n`);
    } catch (error) {
      if (!(error instanceof CliError) || error.code === "unreachable") throw error;
      process.stderr.write(`Job ${jobId}: ${error.message}\n`);
      worst = error.exitCode;
    }
  }
  return worst;
}

/** What was done is told even when a later request fails: it stays done. */
async function retryChosen(status: RetryRequest["status"], options: RetryOptions): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const retried: RetriedJob[] = [];
  let cursor = options.cursor;
  try {
    do {
      const report = await ask(
        client,
        { ...requestOf(status, options), limit: leftOf(options, retried), cursor },
        options,
      );
      retried.push(...report.retried);
      cursor = report.next_cursor ?? undefined;
    } while (cursor !== undefined && leftOf(options, retried) > 0);
  } finally {
    const more =
      cursor === undefined ? "" : `\nThere may be more:  ${ownName()} retry --${status} … --cursor ${cursor}`;
    const report: RetryReport = { matched: retried.length, retried, next_cursor: cursor ?? null };
    const words = describeRetries(retried, { status, isDryRun: options.dryRun === true });
    process.stdout.write(`${options.json ? JSON.stringify(report, null, 2) : words + more}\n`);
  }
  return EXIT.succeeded;
}

function leftOf({ limit = DEFAULT_LIMIT }: RetryOptions, retried: readonly RetriedJob[]): number {
  return Math.min(RETRY_LIMIT, limit - retried.length);
}

/** As it was typed: whether it is any is for the API to say. */
function requestOf(status: RetryRequest["status"], { code, tag, pool, after, before, dryRun }: RetryOptions) {
  return { status, code, tag, pool, created_after: after, created_before: before, dry_run: dryRun };
}

function ask(client: ApiClient, json: object, { key }: RetryOptions): Promise<RetryReport> {
  const headers = key === undefined ? {} : { "idempotency-key": key };
  return client.ask({ method: "POST", path: "/v1/jobs/retry", json, headers }, RetryReport);
}
