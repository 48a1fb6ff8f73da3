import { Readable } from "node:stream";
import { type InputSource, type NewJob, parseDataUri } from "@comfyq/contract";
import { digestOf } from "../objects/digest.ts";
import { keepAsset } from "../objects/keepAsset.ts";
import type { Rooms } from "../rooms.ts";

/** Shorter ones may stay in the job: an asset costs two objects. */
const SHORT = 1_024;

/**
 * Keeps the bytes of data URIs as assets and names those in the job instead: a queue of jobs with megabytes inside would
 * fill Redis, and 8 MB would be copied at every claim. The same picture in a hundred jobs is kept once.
 * @throws StorageError when the store does not take them; nothing is queued then
 */
export async function keepDataUris(rooms: Rooms, tenant: string, job: NewJob): Promise<NewJob> {
  const keep = (sources: Readonly<Record<string, InputSource>>) => keepEach(rooms, tenant, sources);
  const [inputs, files] = await Promise.all([keep(job.inputs), keep(job.files)]);
  return { ...job, inputs, files };
}

/** The same for one list of them. */
export async function keepEach(
  rooms: Rooms,
  tenant: string,
  sources: Readonly<Record<string, InputSource>>,
): Promise<Record<string, InputSource>> {
  const kept = Object.entries(sources).map(
    async ([place, source]) => [place, await keepOne(rooms, tenant, source)] as const,
  );
  return Object.fromEntries(await Promise.all(kept));
}

async function keepOne(rooms: Rooms, tenant: string, source: InputSource): Promise<InputSource> {
  const data = source.url.length > SHORT ? parseDataUri(source.url) : undefined;
  if (!data) return source;
  const { bytes, contentType } = data;
  const { asset } = await keepAsset(rooms, tenant, {
    ...(await digestOf(bytes)),
    sizeBytes: bytes.length,
    name: "inline",
    contentType,
    open: () => Readable.from([bytes]),
  });
  return { ...source, url: `asset:${asset.id}` };
}
