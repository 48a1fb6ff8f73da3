import { assetIdOf, type InputSource, type NewJob, parseDataUri, resultText } from "@comfyq/contract";
import type { JobSubmission } from "@comfyq/queue";
import { nowMs, sha256Hex } from "@comfyq/runtime";
import { readAsset } from "../objects/keepAsset.ts";
import type { Rooms } from "../rooms.ts";

/**
 * What a job is about, hashed: alike for jobs that have the same result. Reads what is known of its assets.
 * @returns undefined for a job that has nothing to do with the cache, and where only a worker can know the bytes of an input
 */
export async function subjectOf(rooms: Rooms, tenant: string, job: NewJob): Promise<string | undefined> {
  if (job.cache === undefined || job.cache === "off") return undefined;
  const hashAll = (sources: NewJob["inputs"]) => hashesOf(rooms, tenant, sources);
  const [inputs, files] = await Promise.all([hashAll(job.inputs), hashAll(job.files)]);
  return inputs && files && sha256Hex(resultText(job, { inputs, files }));
}

async function hashesOf(
  rooms: Rooms,
  tenant: string,
  sources: NewJob["inputs"],
): Promise<Record<string, string> | undefined> {
  const hashes: Record<string, string> = {};
  for (const [place, source] of Object.entries(sources)) {
    const hash = await hashOf(rooms, tenant, source);
    if (hash === undefined) return undefined;
    hashes[place] = hash;
  }
  return hashes;
}

async function hashOf({ storage }: Rooms, tenant: string, source: InputSource): Promise<string | undefined> {
  if (source.sha256 !== undefined) return source.sha256;
  const data = parseDataUri(source.url);
  if (data) return sha256Hex(data.bytes);
  const assetId = assetIdOf(source);
  const asset = assetId === undefined ? undefined : await readAsset(storage, tenant, assetId);
  return /^sha256:([0-9a-f]{64})$/.exec(asset?.hash ?? "")?.[1];
}

/**
 * Has a job that was just queued answered with the result of an identical one, now or when there is one. Never rejects: the
 * job is queued, and its worker finds the same.
 * @returns true when there is one, and the job is about to end
 */
export async function shareResult({ producer, logger }: Rooms, submission: JobSubmission): Promise<boolean> {
  const { id, tenant, job, subject } = submission;
  const isLater = job.run_at !== undefined && Date.parse(job.run_at) > nowMs();
  if (subject === undefined || job.cache !== "use" || isLater) return false;
  return producer.share({ id, tenant, pool: job.pool, subject }).catch((err: unknown) => {
    logger.warn({ err, jobId: id }, "a stored result could not be looked for");
    return false;
  });
}
