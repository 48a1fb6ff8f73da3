import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { comboOptions, ObjectInfo, type ObjectInfoNode } from "@comfyq/comfyui/wire";
import { sha256Hex } from "@comfyq/runtime";
import { cachedFor } from "../../cachedFor.ts";
import type { Rooms } from "../../rooms.ts";

/** A new instance's classes, or its new models, are known within this time. */
const LOOK_EVERY_MS = 2_000;

/** What the live instances of one pool know, as if they were one. */
export interface FleetInfo {
  readonly classes: ObjectInfo;
  /** Every live instance has told; else nothing can be said of a class that is not here. */
  readonly isWhole: boolean;
  /** As it is answered; made once. */
  readonly json: Buffer;
}

export type FleetObjectInfo = (pool: string, want?: "fresh" | "cached") => Promise<FleetInfo>;

/** Remembers what instances told, by its hash, and what that makes together. */
export function createFleetObjectInfo({ producer }: Pick<Rooms, "producer">): FleetObjectInfo {
  const told = new Map<string, ObjectInfo>();
  const merged = new Map<string, { readonly of: string; readonly info: FleetInfo }>();
  const pools = new Map<string, ReturnType<typeof cachedFor<FleetInfo>>>();
  const read = async (sha256: string): Promise<ObjectInfo | undefined> => {
    const known = told.get(sha256);
    if (known) return known;
    const compressed = await producer.prompts.objectInfo(sha256);
    if (!compressed) return undefined;
    const info = ObjectInfo.parse(JSON.parse((await promisify(gunzip)(compressed)).toString()));
    told.set(sha256, info);
    return info;
  };
  const look = async (pool: string): Promise<FleetInfo> => {
    const workers = (await producer.workers()).filter((worker) => worker.pool === pool);
    const hashes = [...new Set(workers.flatMap(({ object_info }) => object_info ?? []))].sort();
    const of = sha256Hex(hashes.join());
    const known = merged.get(pool);
    const hasAll = workers.length > 0 && workers.every(({ object_info }) => object_info);
    if (known?.of === of && known.info.isWhole === hasAll) return known.info;
    const infos = await Promise.all(hashes.map(read));
    const found = infos.filter((info) => info !== undefined);
    const classes = mergeObjectInfo(found);
    const isWhole = hasAll && found.length === infos.length;
    const info = { classes, isWhole, json: Buffer.from(JSON.stringify(classes)) };
    for (const sha256 of told.keys()) if (!hashes.includes(sha256) && told.size > 32) told.delete(sha256);
    merged.set(pool, { of, info });
    return info;
  };
  return (pool, want = "cached") => {
    const ask = pools.get(pool) ?? cachedFor(LOOK_EVERY_MS, () => look(pool));
    if (pools.size > 1_000) pools.clear(); // pool names come from customers
    pools.set(pool, ask);
    return ask(want);
  };
}

/** Pure: every class that one of them has; a choice offers what one of them offers. */
function mergeObjectInfo(infos: readonly ObjectInfo[]): ObjectInfo {
  const [only, ...others] = infos;
  if (only && others.length === 0) return only;
  const merged: Record<string, ObjectInfoNode> = {};
  for (const info of infos)
    for (const [name, node] of Object.entries(info)) {
      const known = merged[name];
      merged[name] = known ? mergeNode(known, node) : node;
    }
  return merged;
}

function mergeNode(one: ObjectInfoNode, other: ObjectInfoNode): ObjectInfoNode {
  if (!one.input || !other.input) return one;
  const input = { ...one.input };
  for (const part of ["required", "optional"] as const) {
    const [mine, theirs] = [one.input[part], other.input[part]];
    if (mine && theirs) input[part] = mergeInputs(mine, theirs);
  }
  return { ...one, input };
}

function mergeInputs(mine: Readonly<Record<string, unknown>>, theirs: Readonly<Record<string, unknown>>) {
  return Object.fromEntries(
    Object.entries(mine).map(([name, spec]) => [
      name,
      Object.hasOwn(theirs, name) ? mergeSpec(spec, theirs[name]) : spec,
    ]),
  );
}

function mergeSpec(mine: unknown, theirs: unknown): unknown {
  const [options, more] = [comboOptions(mine), comboOptions(theirs)];
  if (!options || !more || !Array.isArray(mine)) return mine;
  const all = [...new Set([...options, ...more])];
  if (Array.isArray(mine[0])) return [all, ...mine.slice(1)];
  return [mine[0], { ...(mine[1] as object), options: all }, ...mine.slice(2)]; // comboOptions has looked at it
}
