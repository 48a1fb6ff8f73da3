import type { JobFacts } from "@comfyq/contract";
import { JobId } from "@comfyq/contract";
import { sha256Hex } from "@comfyq/runtime";
import type { Rooms } from "../../rooms.ts";

/** One result of a job, as the queue knows it. */
export type FoundOutput = JobFacts["outputs"][number];

/**
 * The id of an output among the assets of Comfy API v2, where an output is an asset. It says which job it is of, so nothing
 * is kept besides the job; an output lives as long as its job does.
 */
export function outputIdOf(jobId: string, name: string): string {
  return `${jobId}.${digestOf(name)}`;
}

/** The output that has this id, of a job of this tenant; undefined for everything else. */
export async function findOutput(
  { producer }: Rooms,
  tenant: string,
  id: string,
): Promise<{ readonly job: JobFacts; readonly output: FoundOutput } | undefined> {
  const [jobId = "", digest] = id.split(".");
  if (digest === undefined || !JobId.safeParse(jobId).success) return undefined;
  const job = await producer.read(tenant, jobId);
  const output = job?.outputs.find(({ name }) => digestOf(name) === digest);
  return job && output && { job, output };
}

function digestOf(name: string): string {
  return sha256Hex(name).slice(0, 16);
}
