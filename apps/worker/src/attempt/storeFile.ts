import { ComfyError } from "@comfyq/comfyui";
import { attemptPrefix, type StoredFile, type StoredThumbnail } from "@comfyq/contract";
import { failPoint, isBroken } from "@comfyq/runtime";
import { contentTypeOf, StorageError } from "@comfyq/storage";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { type AttemptRun, historyOf } from "./attempt.ts";
import { type NamedFile, outputType } from "./nameFiles.ts";
import { openOutput } from "./openOutput.ts";
import { type Prepared, prepareFile } from "./prepareFile.ts";
import { untilStored } from "./untilStored.ts";

/**
 * Stores one result, and what the customer wants made of it: converted, with a thumbnail, without its texts.
 * @throws JobError `output_missing` | `output_push_failed`; ComfyError
 */
export async function storeFile(run: AttemptRun, file: NamedFile, tools: Tools): Promise<StoredFile> {
  const stored = await untilStored(run, tools, () => storeOnce(run, file, tools));
  const { key, name, sha256, size_bytes } = stored;
  await failPoint("output_stored", historyOf(run, { key, sha256, size: size_bytes }));
  run.job.show({ event: "output", data: { node_id: file.node_id, name, type: stored.type, size_bytes } });
  return stored;
}

async function storeOnce(run: AttemptRun, file: NamedFile, tools: Tools): Promise<StoredFile> {
  if (isBroken("end_before_store")) return describe(run, file, { prepared: untouched(file), put: NOTHING }); // for a test
  const open = await openOutput(run, file, tools);
  try {
    const prepared = await prepareFile(run, { file, open }, tools);
    const { name, sizeBytes } = prepared;
    const known = sizeBytes === undefined ? {} : { sizeBytes };
    const put = await putAs(run, { name, body: prepared.body, ...known }, tools);
    const thumbnail = prepared.thumbnail && (await storeThumbnail(run, prepared.thumbnail, tools));
    return { ...describe(run, file, { prepared, put }), ...(thumbnail && { thumbnail }) };
  } catch (error) {
    run.signal.throwIfAborted();
    throw isToldAlready(error) ? error : brokenOff(file, error);
  } finally {
    open.close();
  }
}

const NOTHING = { sizeBytes: 1, sha256: "0".repeat(64) };

function untouched({ name }: NamedFile): Pick<Prepared, "name" | "warnings"> {
  return { name, warnings: [] };
}

interface Described {
  readonly prepared: Pick<Prepared, "name" | "warnings">;
  readonly put: { readonly sizeBytes: number; readonly sha256: string };
}

function describe(run: AttemptRun, { node_id }: NamedFile, { prepared, put }: Described): StoredFile {
  const { name, warnings } = prepared;
  const content_type = contentTypeOf(name);
  const type = outputType(content_type, name);
  const { sizeBytes: size_bytes, sha256 } = put;
  const told = warnings.length === 0 ? {} : { warnings: [...warnings] };
  return { node_id, name, type, size_bytes, content_type, sha256, key: keyOf(run, name), ...told };
}

function keyOf({ job }: AttemptRun, name: string): string {
  return `${attemptPrefix(job.id, job.epoch, job.head.output)}${name}`;
}

type Putting = Pick<Prepared, "name" | "body"> & { readonly sizeBytes?: number };

function putAs(run: AttemptRun, { name, body, ...known }: Putting, { store }: Tools) {
  return store.put(keyOf(run, name), body, { contentType: contentTypeOf(name), signal: run.signal, ...known });
}

async function storeThumbnail(
  run: AttemptRun,
  { name, bytes, width, height }: NonNullable<Prepared["thumbnail"]>,
  tools: Tools,
): Promise<StoredThumbnail> {
  const { key, sizeBytes } = await putAs(run, { name, body: bytes, sizeBytes: bytes.length }, tools);
  return { name, content_type: contentTypeOf(name), size_bytes: sizeBytes, width, height, key };
}

function isToldAlready(error: unknown): boolean {
  return error instanceof StorageError || error instanceof ComfyError || error instanceof JobError;
}

function brokenOff({ filename }: NamedFile, cause: unknown): ComfyError {
  return new ComfyError("unreachable", `ComfyUI broke off in the middle of ${filename}`, { cause });
}
