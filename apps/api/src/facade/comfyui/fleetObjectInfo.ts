import { comboOptions, ObjectInfo, type ObjectInfoNode } from "@comfyq/comfyui/wire";
import type { Rooms } from "../../rooms.ts";
import { type AskPool, createToldFacts } from "./toldFacts.ts";

/** What the live instances of one pool know, as if they were one. */
export interface FleetInfo {
  readonly classes: ObjectInfo;
  /** Every live instance has told; else nothing can be said of a class that is not here. */
  readonly isWhole: boolean;
  /** As it is answered; made once. */
  readonly json: Buffer;
}

/** Node classes of a pool's live instances, a little old. */
export function createFleetObjectInfo(rooms: Pick<Rooms, "producer">): AskPool<FleetInfo> {
  return createToldFacts(rooms, {
    hashOf: ({ object_info }) => object_info,
    read: (sha256) => rooms.producer.prompts.objectInfo(sha256),
    schema: ObjectInfo,
    merge: (infos, isWhole) => {
      const classes = mergeObjectInfo(infos);
      return { classes, isWhole, json: Buffer.from(JSON.stringify(classes)) };
    },
  });
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
