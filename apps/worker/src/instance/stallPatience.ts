import type { NodeStarted } from "@comfyq/comfyui";
import { type NodeSilence, type NodeSilences, noteSilences, type QueueRoom, readSilences } from "@comfyq/queue";
import { monotonicMs, withDeadline } from "@comfyq/runtime";
import type { WorkerConfig } from "../config.ts";
import { orAborted } from "../orAborted.ts";

/** How long the nodes of one attempt may be silent, and what it learns of them. */
interface AttemptPatience {
  /** In ms; 0: for ever. */
  readonly stallMs: (node: NodeStarted | undefined) => number;
  readonly onSilence: (node: NodeStarted, longestMs: number) => void;
  /** The attempt went well: what it learned is true of healthy nodes. */
  keep(): void;
}

/** What a pool has learned of its node classes. */
export interface StallPatience {
  /** Never rejects: without Redis what was known last, or nothing, is known. */
  forAttempt(): Promise<AttemptPatience>;
}

const REFRESH_MS = 60_000;
const ANSWER_MS = 1_000;
/** Fewer silences than this are chance. */
const LEAST_SAMPLES = 5;
const TIMES_LONGEST = 5;

type StallSettings = Pick<WorkerConfig, "COMFYQ_STALL_S" | "COMFYQ_STALL_FLOOR_S">;

/**
 * Pure: the silence after which a node of this kind counts as stuck, in ms; 0: never.
 * @param known what was seen of its class; undefined when nothing was
 */
export function stallMsOf(known: NodeSilence | undefined, settings: StallSettings): number {
  if (settings.COMFYQ_STALL_S === 0 || known === undefined || known.samples < LEAST_SAMPLES)
    return settings.COMFYQ_STALL_S * 1_000;
  return Math.max(settings.COMFYQ_STALL_FLOOR_S * 1_000, known.longestMs * TIMES_LONGEST);
}

export function createStallPatience(room: QueueRoom, config: WorkerConfig): StallPatience {
  let silences: NodeSilences = new Map();
  let readAtMs = Number.NEGATIVE_INFINITY;
  const refresh = async () => {
    if (monotonicMs() - readAtMs < REFRESH_MS) return;
    readAtMs = monotonicMs();
    const answer = orAborted(readSilences(room, config.COMFYQ_POOL), withDeadline(undefined, ANSWER_MS));
    silences = await answer.catch(() => silences);
  };
  return {
    forAttempt: async () => {
      await refresh();
      const known = silences;
      const seen = new Map<string, number>();
      return {
        stallMs: (node) => stallMsOf(node?.class_type === undefined ? undefined : known.get(node.class_type), config),
        onSilence: ({ class_type }, longestMs) => {
          if (class_type !== undefined) seen.set(class_type, Math.max(seen.get(class_type) ?? 0, longestMs));
        },
        keep: () => void noteSilences(room, config.COMFYQ_POOL, Object.fromEntries(seen)).catch(() => {}), // one lesson less
      };
    },
  };
}
