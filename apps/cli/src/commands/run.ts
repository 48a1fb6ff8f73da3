import { openAsBlob } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { Asset, InputSource, Job, NewJob, type NewJobBody } from "@comfyq/contract";
import { type ApiClient, createApiClient } from "../api/apiClient.ts";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { fromWhereCalled, ownName, readCliEnv } from "../config.ts";
import { faultLines } from "../faultLines.ts";
import { type FinishOptions, finishJob } from "../run/finishJob.ts";
import { type JobOptions, jobFields } from "../run/jobOptions.ts";
import { parseParams, splitAssignment } from "../run/parseParam.ts";
import { readWorkflow } from "../run/readWorkflow.ts";

/** The options of `comfyq run`, as commander gives them. */
export interface RunOptions extends FinishOptions, JobOptions {
  readonly input?: readonly string[];
  readonly watch?: boolean;
  readonly expires?: number;
  readonly key?: string;
}

/** `comfyq run`: submits a workflow; with `--watch` or `--out` stays until it has ended. */
export async function run(file: string, options: RunOptions): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const workflow = await readWorkflow(file === "-" ? file : fromWhereCalled(file));
  const params = parseParams(workflow, options.param ?? []);
  const body = checked({
    ...jobFields(options),
    ...(options.expires === undefined ? {} : { expires_in_s: options.expires }),
    workflow,
    params,
    inputs: await uploadInputs(client, options.input ?? []),
  });
  const headers = options.key === undefined ? {} : { "idempotency-key": options.key };
  const job = await client.ask({ method: "POST", path: "/v1/jobs", json: body, headers }, Job);
  if (options.watch || options.out !== undefined) return finishJob(client, job.id, options);
  const words = `Job ${job.id} ${job.status}\n  see it:  ${ownName()} watch ${job.id}`;
  process.stdout.write(`${options.json ? JSON.stringify(job, null, 2) : words}\n`);
  return EXIT.succeeded;
}

/** The same check as the API's, before anything is sent; the body goes out as it was, defaults are the API's. */
function checked(body: NewJobBody): NewJobBody {
  const parsed = NewJob.safeParse(body);
  if (!parsed.success) throw new CliError("bad_input", faultLines(parsed.error), { cause: parsed.error });
  return body;
}

async function uploadInputs(client: ApiClient, assignments: readonly string[]): Promise<Record<string, string>> {
  const inputs: Record<string, string> = {};
  for (const text of assignments) {
    const [path, source] = splitAssignment(text, "--input");
    inputs[path] = InputSource.safeParse(source).success ? source : `asset:${await upload(client, source)}`;
  }
  return inputs;
}

/** Uploads a local file; the same bytes again are the same asset. @returns its id */
async function upload(client: ApiClient, path: string): Promise<string> {
  const file = fromWhereCalled(path);
  // openAsBlob does not say why it cannot: stat does.
  const blob = await stat(file).then(
    () => openAsBlob(file),
    (cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CliError("bad_input", `--input ${path}: ${why}`, { cause });
    },
  );
  const form = new FormData();
  form.append("file", blob, basename(path));
  const asset = await client.ask(
    { method: "POST", path: "/v1/assets", form, signal: new AbortController().signal },
    Asset,
  );
  return asset.id;
}
