import * as z from "zod";
import type { QueueRoom } from "./room.ts";

/** How long nodes of one class have been silent while they worked. */
const NodeSilence = z.object({ longest_ms: z.number().nonnegative(), samples: z.int().nonnegative() });

export interface NodeSilence {
  /** The longest silence seen; older ones fade slowly. */
  readonly longestMs: number;
  readonly samples: number;
}

/** class_type → what is known of it. A map, because a class may be called `constructor`. */
export type NodeSilences = ReadonlyMap<string, NodeSilence>;

/** What a pool has learned of its node classes. */
export async function readSilences(room: QueueRoom, pool: string): Promise<NodeSilences> {
  const fields = await room.redis.hgetall(room.names.silences(pool));
  return new Map(
    Object.entries(fields).flatMap(([classType, text]) => {
      const known = readSilence(text);
      return known ? [[classType, known]] : [];
    }),
  );
}

/**
 * Folds in what one render showed; two workers at once may lose one sample, which a guess can bear.
 * @param seen class_type → the longest silence of such a node, in ms
 */
export async function noteSilences(
  room: QueueRoom,
  pool: string,
  seen: Readonly<Record<string, number>>,
): Promise<void> {
  const classTypes = Object.keys(seen);
  if (classTypes.length === 0) return;
  const key = room.names.silences(pool);
  const before = await room.redis.hmget(key, ...classTypes);
  const after = classTypes.flatMap((classType, at) => {
    const known = readSilence(before[at] ?? "");
    const longest_ms = Math.max(seen[classType] ?? 0, (known?.longestMs ?? 0) * room.settings.silenceDecay);
    return [classType, JSON.stringify({ longest_ms, samples: (known?.samples ?? 0) + 1 })];
  });
  await room.redis.hset(key, ...after);
}

/** @returns undefined for what another version wrote and this one cannot read: it is then learned anew */
function readSilence(text: string): NodeSilence | undefined {
  try {
    const { longest_ms, samples } = NodeSilence.parse(JSON.parse(text));
    return { longestMs: longest_ms, samples };
  } catch {
    return undefined;
  }
}
