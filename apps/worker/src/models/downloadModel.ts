import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { sleep, withDeadline } from "@comfyq/runtime";
import { openSource } from "../inputs/openSource.ts";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { BEGINNING_BYTES, beginningFault, checkModelFile, rejectedModel } from "./checkModelFile.ts";
import { isSystemError } from "./isSystemError.ts";
import { storeOf } from "./modelStore.ts";
import type { ModelCaller, ModelWish } from "./modelWish.ts";
import { resumingFetch } from "./resumingFetch.ts";

/** What has come so far. */
interface Part {
  readonly file: FileHandle;
  writtenBytes: number;
  hash: Hash;
  /** Names the content that these bytes are the beginning of. */
  validator: string | undefined;
  /** Did the source ever begin to send it? What cannot be opened at all is tried again with its job, later. */
  isBegun: boolean;
}

/** What the place of a download does for it. */
export interface DownloadSteps {
  readonly partFile: string;
  /** Makes room for so many bytes altogether. @throws JobError `models_full` */
  readonly reserve: (bytes: number) => Promise<void>;
  /** Is there still room on the disk? Asked on the way. */
  readonly hasRoom: () => Promise<boolean>;
  /** Counts them. */
  readonly onBytes: (bytes: number) => void;
}

export interface Downloaded {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Connections in a row that may break without having come further than one before. */
const FRUITLESS_TRIES = 4;
const FIRST_WAIT_MS = 500;
/** How often the disk is looked at; while the length is not known room is made in such steps. */
const STEP_BYTES = 64 * 1_048_576;

/**
 * Streams a model into a file that nobody lists, hashed on the way, and looks whether it is what it should be. A connection
 * that breaks is taken up where it broke, when the source can do that.
 * @throws JobError `model_rejected` | `models_full` | `input_unavailable` | `input_unreachable` | `input_too_large`;
 * the signal's reason
 */
export async function downloadModel(
  wish: ModelWish,
  caller: ModelCaller,
  { steps, tools }: { readonly steps: DownloadSteps; readonly tools: Tools },
): Promise<Downloaded> {
  const { O_CREAT, O_EXCL, O_RDWR, O_NOFOLLOW } = constants;
  const timeoutMs = tools.config.COMFYQ_MODEL_TIMEOUT_S * 1_000;
  const late = new JobError("input_unreachable", `Model ${wish.label} did not come within COMFYQ_MODEL_TIMEOUT_S`);
  const signal = withDeadline(caller.signal, timeoutMs, late);
  await using file = await open(steps.partFile, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o644);
  const part: Part = { file, writtenBytes: 0, hash: createHash("sha256"), validator: undefined, isBegun: false };
  try {
    await receiveAll(part, wish, { steps, tools, caller: { ...caller, signal } });
    const sha256 = part.hash.digest("hex");
    const wanted = wish.source.sha256;
    if (wanted !== undefined && wanted !== sha256)
      throw rejectedModel(wish.label, `has the sha256 ${sha256}, and the job asks for ${wanted}`);
    await checkModelFile(file, wish.place.extension, wish.label);
    await file.sync();
    return { sha256, sizeBytes: part.writtenBytes };
  } catch (cause) {
    signal.throwIfAborted();
    throw isSystemError(cause, "ENOSPC", "EDQUOT") ? diskFull(wish, part.writtenBytes, cause) : cause;
  }
}

function diskFull({ label }: ModelWish, writtenBytes: number, cause: unknown): JobError {
  const message = `Model ${label} does not fit on the disk of the models folder: it was full after ${writtenBytes} bytes`;
  return new JobError("models_full", `${message}; make room there, or set COMFYQ_MODELS_BUDGET_BYTES`, { cause });
}

interface Receiving {
  readonly steps: DownloadSteps;
  readonly tools: Tools;
  readonly caller: ModelCaller;
}

async function receiveAll(part: Part, wish: ModelWish, receiving: Receiving): Promise<void> {
  const { caller, tools } = receiving;
  let furthestBytes = 0;
  for (let fruitless = 0; ; ) {
    try {
      return await receiveOnce(part, wish, receiving);
    } catch (error) {
      fruitless = part.writtenBytes > furthestBytes ? 0 : fruitless + 1;
      furthestBytes = Math.max(furthestBytes, part.writtenBytes);
      const mayGoOn = error instanceof JobError && error.failure.code === "input_unreachable" && part.isBegun;
      if (!mayGoOn || fruitless >= FRUITLESS_TRIES) throw error;
      await sleep(FIRST_WAIT_MS * 2 ** fruitless * tools.config.timeScale, caller.signal);
    }
  }
}

async function receiveOnce(part: Part, wish: ModelWish, { steps, tools, caller }: Receiving): Promise<void> {
  const { label, source } = wish;
  const have = part.validator === undefined ? undefined : { bytes: part.writtenBytes, validator: part.validator };
  const resuming = resumingFetch(storeOf(tools).fetch, have);
  // Models have limits of their own, which are kept here.
  const limits = {
    COMFYQ_MAX_INPUT_BYTES: Number.MAX_SAFE_INTEGER,
    COMFYQ_INPUT_TIMEOUT_S: tools.config.COMFYQ_MODEL_TIMEOUT_S,
  };
  const config = { ...tools.config, ...limits };
  const opened = await openSource({ source, label }, caller, { ...tools, config, fetchInput: resuming.fetch });
  const body = await opened.open();
  part.isBegun = true;
  try {
    const sent = resuming.sent();
    const totalBytes = sent ? sent.totalBytes : opened.known?.sizeBytes;
    if (totalBytes !== undefined) refuseLarge(totalBytes, wish, tools);
    if ((sent?.startBytes ?? 0) !== part.writtenBytes) await startOver(part);
    part.validator = sent?.validator;
    if (totalBytes !== undefined) await steps.reserve(totalBytes);
    const chunks: AsyncIterable<Buffer> = body;
    for await (const chunk of chunks) {
      const isAtStep = stepOf(part) !== stepOf({ writtenBytes: part.writtenBytes + chunk.length });
      if (isAtStep && !(await steps.hasRoom())) throw diskFull(wish, part.writtenBytes, undefined);
      await keep(part, chunk, wish);
      refuseLarge(part.writtenBytes, wish, tools);
      steps.onBytes(chunk.length);
      caller.onProgress(part.writtenBytes, totalBytes);
      if (totalBytes === undefined) await steps.reserve((stepOf(part) + 1) * STEP_BYTES);
    }
  } finally {
    body.destroy();
  }
}

function refuseLarge(bytes: number, { label }: ModelWish, { config }: Tools): void {
  const most = config.COMFYQ_MAX_MODEL_BYTES;
  if (bytes > most)
    throw new JobError("input_too_large", `Model ${label} is larger than ${most} bytes (COMFYQ_MAX_MODEL_BYTES)`);
}

function stepOf({ writtenBytes }: Pick<Part, "writtenBytes">): number {
  return Math.floor(writtenBytes / STEP_BYTES);
}

async function startOver(part: Part): Promise<void> {
  await part.file.truncate(0);
  part.writtenBytes = 0;
  part.hash = createHash("sha256");
}

async function keep(part: Part, chunk: Buffer, { label, place }: ModelWish): Promise<void> {
  const before = part.writtenBytes;
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await part.file.write(chunk, at, chunk.length - at, before + at);
    at += bytesWritten;
  }
  part.hash.update(chunk);
  part.writtenBytes += chunk.length;
  if (before >= BEGINNING_BYTES || part.writtenBytes < BEGINNING_BYTES) return;
  const beginning = Buffer.alloc(BEGINNING_BYTES);
  await part.file.read(beginning, 0, BEGINNING_BYTES, 0);
  const fault = beginningFault(beginning, place.extension);
  if (fault !== undefined) throw rejectedModel(label, fault); // now, and not after fifty gigabytes
}
