import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Job, Output } from "@comfyq/contract";
import type { ApiClient } from "../api/apiClient.ts";
import { CliError } from "../CliError.ts";
import { numberedName, outputFileName, valueFile } from "./outputFileName.ts";

/** How many names are tried before a folder counts as hopeless. */
const MOST_NAMES = 1_000;

/**
 * Saves all results of a job below `folder`, which is made. A file that is there is never replaced: the new one gets a
 * number. What does not hash to what the job says is removed again.
 * @returns the paths, in the order of the job's outputs
 * @throws CliError `broken` when a file cannot be had whole
 */
export async function saveOutputs(client: ApiClient, job: Job, folder: string): Promise<readonly string[]> {
  await mkdir(folder, { recursive: true });
  const paths: string[] = [];
  for (const output of job.outputs) paths.push(await saveOne(client, job.id, { output, folder }));
  return paths;
}

async function saveOne(
  client: ApiClient,
  jobId: string,
  { output, folder }: { readonly output: Output; readonly folder: string },
): Promise<string> {
  const value = output.type === "value" ? valueFile(output) : undefined;
  const { file, path } = await openNew(folder, value?.name ?? outputFileName(output.name));
  try {
    if (value) await file.writeFile(value.content);
    else await download(client, { jobId, output, file });
    await file.close();
    return path;
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(path, { force: true });
    throw error;
  }
}

async function openNew(folder: string, name: string): Promise<{ file: FileHandle; path: string }> {
  for (let count = 1; count <= MOST_NAMES; count += 1) {
    const path = join(folder, numberedName(name, count));
    try {
      return { file: await open(path, "wx"), path };
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
  }
  throw new CliError("broken", `${folder} already holds ${MOST_NAMES} files named like ${name}; choose another --out`);
}

/** The job's own address for the file, not the link in it: that may have ended while earlier files were saved. */
async function download(
  client: ApiClient,
  { jobId, output, file }: { readonly jobId: string; readonly output: Output; readonly file: FileHandle },
): Promise<void> {
  const path = `/v1/jobs/${jobId}/outputs/${encodeURIComponent(output.name)}`;
  const response = await client.send({ path, signal: new AbortController().signal });
  const hash = createHash("sha256");
  for await (const chunk of response.body ?? []) {
    hash.update(chunk);
    await file.appendFile(chunk); // write() may stop half-way, appendFile goes on until all is there
  }
  const got = `sha256:${hash.digest("hex")}`;
  if (output.hash !== undefined && output.hash !== got)
    throw new CliError("broken", `${output.name} arrived damaged (${got}, not ${output.hash}); fetch it again`);
}
