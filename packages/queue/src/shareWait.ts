import type { Berth } from "./flights.ts";
import type { Settings } from "./settings.ts";

/**
 * Pure: how long a job is put aside that is to be given a result, should nobody come to do so. The first of many looks often
 * whether the one that renders is still there; if all did, they would do nothing else.
 */
export function shareWaitMs(berth: Extract<Berth, { kind: "hit" | "follow" }>, settings: Settings): number {
  if (berth.kind === "hit") return settings.declineMs;
  return Math.min(settings.followMs * (berth.rank + 1), settings.longestFollowMs);
}
