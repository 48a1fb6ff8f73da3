import type { PromptFrame } from "./frames.ts";

/** The nodes that one prompt was known to work at, before a frame and after it. */
interface AtWork {
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** How long each node of a prompt said nothing while it was at work. What was not heard from its start is left out. */
export interface Silences {
  /** Takes in one frame, heard at this reading of the clock. */
  add(frame: PromptFrame, atMs: number, atWork: AtWork): void;
  /** The longest silence of a node that was heard all the time; undefined for every other. */
  longestMs(nodeId: string): number | undefined;
}

/** Nothing heard yet: a node that is already at work when the first frame comes does not count. */
export function createSilences(): Silences {
  const longest = new Map<string, number>();
  const missed = new Set<string>();
  let isBlind = true;
  let lastMs: number | undefined;

  return {
    add(frame, atMs, { before, after }) {
      if (frame.type === "status") return; // it says nothing of this prompt
      if (frame.type === "gap") {
        // The frames of an outage are lost, and with them the knowledge of how long the node was silent.
        isBlind = true;
        if (before !== undefined) missed.add(before);
        return;
      }
      if (before !== undefined && lastMs !== undefined) {
        longest.set(before, Math.max(longest.get(before) ?? 0, atMs - lastMs));
      }
      lastMs = atMs;
      if (!isBlind || after === undefined) return;
      if (frame.type === "executing") {
        isBlind = false; // it begins now, before our ears
        missed.delete(after);
        longest.delete(after);
      } else missed.add(after);
    },
    longestMs: (nodeId) => (missed.has(nodeId) ? undefined : longest.get(nodeId)),
  };
}
