import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { WorkerBeat } from "@comfyq/contract";
import { sha256Hex } from "@comfyq/runtime";
import type * as z from "zod";
import { cachedFor } from "../../cachedFor.ts";
import type { Rooms } from "../../rooms.ts";

/** A new instance's classes, or its new models, are known within this time. */
const LOOK_EVERY_MS = 2_000;
const MOST_REMEMBERED = 32;
const MOST_POOLS = 1_000;

interface Told<T, Merged> {
  /** The hash of what a worker told. */
  readonly hashOf: (worker: WorkerBeat) => string | null | undefined;
  readonly read: (sha256: string) => Promise<Buffer | undefined>;
  readonly schema: z.ZodType<T>;
  /** Pure. `isWhole`: every live instance has told. */
  readonly merge: (told: readonly T[], isWhole: boolean) => Merged;
}

export type AskPool<Merged> = (pool: string) => Promise<Merged>;

/** Remembers what instances told, by its hash, and what that makes together for each pool. */
export function createToldFacts<T, Merged>(
  { producer }: Pick<Rooms, "producer">,
  told: Told<T, Merged>,
): AskPool<Merged> {
  const known = new Map<string, T>();
  const merged = new Map<string, { readonly of: string; readonly facts: Merged }>();
  const pools = new Map<string, () => Promise<Merged>>();
  const read = async (sha256: string): Promise<T | undefined> => {
    const compressed = known.has(sha256) ? undefined : await told.read(sha256);
    if (compressed) known.set(sha256, told.schema.parse(JSON.parse((await promisify(gunzip)(compressed)).toString())));
    return known.get(sha256);
  };
  const look = async (pool: string): Promise<Merged> => {
    const workers = (await producer.workers()).filter((worker) => worker.pool === pool);
    const hashes = [...new Set(workers.flatMap((worker) => told.hashOf(worker) ?? []))].sort();
    const hasAll = workers.length > 0 && workers.every((worker) => told.hashOf(worker));
    const found = (await Promise.all(hashes.map(read))).filter((one) => one !== undefined);
    const isWhole = hasAll && found.length === hashes.length;
    const of = sha256Hex([String(isWhole), ...hashes.filter((sha256) => known.has(sha256))].join());
    const before = merged.get(pool);
    if (before?.of === of) return before.facts;
    const facts = told.merge(found, isWhole);
    for (const sha256 of known.keys())
      if (known.size > MOST_REMEMBERED && !hashes.includes(sha256)) known.delete(sha256);
    if (merged.size > MOST_POOLS) merged.clear();
    merged.set(pool, { of, facts });
    return facts;
  };
  return (pool) => {
    const ask = pools.get(pool) ?? cachedFor(LOOK_EVERY_MS, () => look(pool));
    if (pools.size > MOST_POOLS) pools.clear(); // pool names come from customers
    pools.set(pool, ask);
    return ask();
  };
}
