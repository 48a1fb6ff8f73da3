import { json } from "node:stream/consumers";
import { attemptPrefix, type CacheEntry, Manifest, manifestKey, toMoment } from "@comfyq/contract";
import {
  type Answer,
  type Answerable,
  claimAnswerable,
  dropEntry,
  type QueueRoom,
  readEntry,
  wake,
} from "@comfyq/queue";
import { failPoint, type Logger, monotonicMs, nowMs } from "@comfyq/runtime";
import { type Storage, StorageError } from "@comfyq/storage";
import { copyOutputs, historyOf } from "./copyOutputs.ts";

export interface AnswerTools {
  readonly store: Storage;
  /** Who answers, as BullMQ is told. */
  readonly name: string;
  readonly log: Logger;
  /** Jobs that were given a result, counted on. */
  readonly tally: { hits: number };
}

/** While the store is in trouble, the job waits. */
const REST_MS = 2_000;

/**
 * Gives a job that waits the result of an identical one: its files are copied to a place of the job's own, its manifest is
 * sealed, and it ends. No GPU has to do anything for it. A result whose files are gone is forgotten, and the job is rendered.
 * Safe to repeat.
 * @throws StorageError when the store is in trouble: to be tried again in a moment
 */
export async function answer(notice: Answer, room: QueueRoom, tools: AnswerTools): Promise<void> {
  const { store } = tools;
  const entry = await readEntry(room, notice);
  const source = entry && (await readManifest(store, entry.job_id));
  if (!entry || !source) {
    if (entry) await dropEntry(room, notice, entry);
    await wake(room, notice.jobId);
    return;
  }
  const job = await claimAnswerable(room, notice, { name: tools.name, nowMs: nowMs() });
  if (!job) return;
  try {
    await give(job, { entry, source }, tools);
  } catch (error) {
    const isGone = error instanceof StorageError && error.code === "not_found";
    if (isGone) await dropEntry(room, notice, entry);
    await job.letGo(isGone ? 0 : REST_MS);
    if (!isGone && !job.signal.aborted) throw error;
  }
}

interface Result {
  readonly entry: CacheEntry;
  readonly source: Manifest;
}

/** @throws StorageError; the signal's reason */
async function give(job: Answerable, result: Result, { store, log, tally }: AnswerTools): Promise<void> {
  const startedAtMs = monotonicMs();
  const outputs = await copyOutputs(job, result, store);
  const mine: Manifest = {
    ...result.source,
    job_id: job.id,
    epoch: job.epoch,
    sealed_at: toMoment(nowMs()),
    cached: true,
    cached_from: result.source.job_id,
    metrics: { prepare_ms: 0, render_ms: 0, store_ms: Math.round(monotonicMs() - startedAtMs) },
    outputs: [...outputs],
  };
  await failPoint("outputs_stored", historyOf(job));
  const manifest = await seal(job, mine, store);
  await failPoint("sealed", { ...historyOf(job), won: manifest.epoch === job.epoch });
  const ended = await job.end(manifest);
  await failPoint("settled", { ...historyOf(job), outcome: "succeeded", ended });
  if (ended) tally.hits += 1;
  const told = { jobId: job.id, from: result.source.job_id, outputs: outputs.length, ended };
  log.info({ ...told, durationMs: Math.round(monotonicMs() - startedAtMs) }, "job answered from the cache");
}

/** The first to seal wins: an attempt, or somebody else who answered it, may have been there before. */
async function seal(job: Answerable, mine: Manifest, store: Storage): Promise<Manifest> {
  job.isOurs(); // a process that slept finds out here that the job is another's
  job.signal.throwIfAborted();
  const options = { contentType: "application/json", signal: job.signal };
  const { created } = await store.putIfAbsent(manifestKey(job.id), JSON.stringify(mine), options);
  const winner = created ? mine : ((await readManifest(store, job.id)) ?? mine);
  if (winner.epoch !== job.epoch) await store.removePrefix(attemptPrefix(job.id, job.epoch, job.output));
  return winner;
}

/** Undefined when there is none, or none that this version understands. */
async function readManifest(store: Storage, jobId: string): Promise<Manifest | undefined> {
  try {
    const { body } = await store.get(manifestKey(jobId));
    return Manifest.safeParse(await json(body)).data;
  } catch (error) {
    if (error instanceof StorageError && error.code === "not_found") return undefined;
    throw error;
  }
}
