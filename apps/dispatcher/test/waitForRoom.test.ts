import { ScheduleRule } from "@comfyq/contract";
import { type ScheduleState, SETTINGS } from "@comfyq/queue";
import { expect, test } from "vitest";
import { mayWait, nextLookMs } from "../src/tick/waitForRoom.ts";

const MINUTE_MS = 60_000;

/** A schedule of every hour whose tick of moment 0 waits, after so long. */
function waits(catch_up: string, waitedMs: number): boolean {
  const rule = ScheduleRule.parse({ every_s: 3_600, start_at: "1970-01-01T00:00:00Z", catch_up });
  const state = { rule, createdAtMs: 0 } as ScheduleState; // nothing else of it is asked
  const pending = { tickAtMs: 0, decidedAtMs: 0, count: 1, cancels: [] };
  return mayWait(state, { pending, nowMs: waitedMs, patienceMs: 10 * MINUTE_MS });
}

test("every tick waits ten minutes for room; then its schedule's policy for missed moments decides", () => {
  for (const policy of ["none", "last", "all"]) expect([policy, waits(policy, 9 * MINUTE_MS)]).toEqual([policy, true]);
  expect(["none", "last", "all"].map((policy) => waits(policy, 11 * MINUTE_MS))).toEqual([false, true, true]);
  // By now there is a newer moment.
  expect(["none", "last", "all"].map((policy) => waits(policy, 61 * MINUTE_MS))).toEqual([false, false, true]);
});

test("the longer a tick has waited the less often it is looked at, but once a minute", () => {
  const looks = [0, 1_000, 20_000, 100_000, 600_000, 24 * 60 * MINUTE_MS].map((ms) => nextLookMs(ms, SETTINGS));
  expect(looks).toEqual([2_000, 2_000, 2_000, 10_000, 60_000, 60_000]);
});
