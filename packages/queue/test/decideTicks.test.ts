import { ScheduleRule } from "@comfyq/contract";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decideTicks, readMomentRule, type TickQuestion } from "../src/index.ts";
import { COUNTED } from "../src/schedules/decideTicks.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Every minute of 1970, with a minute of grace. */
function question(facts: Partial<TickQuestion>): TickQuestion {
  const rule = readMomentRule(ScheduleRule.parse({ cron: "* * * * *" }), 0);
  const policy = { catchUp: "none", catchUpMax: 3, left: undefined } as const;
  return { rule, cursorMs: 0, nowMs: 0, graceMs: MINUTE, ...policy, ...facts };
}

/** Does as the plans say, as a dispatcher would, until nothing is due. */
function live(start: TickQuestion) {
  const fired: number[] = [];
  let [missed, cursorMs, left] = [0, start.cursorMs, start.left];
  for (;;) {
    const plan = decideTicks({ ...start, cursorMs, left });
    if (plan.missed) {
      missed += plan.missed.count;
      cursorMs = plan.missed.newestMs;
    } else if (plan.fireMs !== undefined) {
      fired.push(plan.fireMs);
      cursorMs = plan.fireMs;
      left = left === undefined ? undefined : left - 1;
    } else return { fired: fired.map((ms) => ms / MINUTE), missed, nextMs: plan.nextMs };
  }
}

test("on time each moment fires, and the next is known", () => {
  expect(live(question({ cursorMs: MINUTE, nowMs: 2 * MINUTE + 5 }))).toEqual({
    fired: [2],
    missed: 0,
    nextMs: 3 * MINUTE,
  });
  expect(live(question({ cursorMs: 2 * MINUTE, nowMs: 2 * MINUTE + 6 }))).toMatchObject({ fired: [], missed: 0 });
});

describe("after a downtime of ten minutes", () => {
  const down = { cursorMs: MINUTE, nowMs: 11 * MINUTE };
  test("none: the late ones are missed, and what is a minute late at most still fires", () => {
    expect(live(question(down))).toMatchObject({ fired: [11], missed: 9 });
  });
  test("last: the newest late one fires, too", () => {
    expect(live(question({ ...down, catchUp: "last" }))).toMatchObject({ fired: [10, 11], missed: 8 });
  });
  test("all: the newest so many do", () => {
    expect(live(question({ ...down, catchUp: "all" }))).toMatchObject({ fired: [8, 9, 10, 11], missed: 6 });
    expect(live(question({ ...down, catchUp: "all", catchUpMax: 100 }))).toMatchObject({ missed: 0 });
  });
  test("the limit ends it, and nothing is missed after it", () => {
    expect(live(question({ ...down, catchUp: "all", left: 2 }))).toEqual({
      fired: [8, 9],
      missed: 6,
      nextMs: undefined,
    });
    expect(live(question({ ...down, left: 0 }))).toEqual({ fired: [], missed: 0, nextMs: undefined });
  });
});

test("a clock that was put back an hour fires nothing again, and waits for what comes after the cursor", () => {
  const back = question({ cursorMs: 61 * MINUTE, nowMs: MINUTE });
  expect(live(back)).toEqual({ fired: [], missed: 0, nextMs: 62 * MINUTE });
});

test("a clock that was put forward an hour is a downtime of an hour", () => {
  expect(live(question({ cursorMs: MINUTE, nowMs: 61 * MINUTE }))).toMatchObject({ fired: [61], missed: 59 });
});

test("a month of seconds that nobody came to is one gap, told in a moment", () => {
  const rule = readMomentRule(ScheduleRule.parse({ cron: "* * * * * *" }), 0);
  const plan = decideTicks(question({ rule, nowMs: 30 * 24 * HOUR, catchUp: "last" }));
  expect(plan.missed?.count).toBe(COUNTED);
  const every = readMomentRule(ScheduleRule.parse({ every_s: 1 }), 0);
  expect(decideTicks(question({ rule: every, nowMs: 30 * 24 * HOUR })).missed?.count).toBe(COUNTED);
});

test("whatever the clock does, no moment fires twice, and each is fired or missed once", () => {
  const steps = fc.array(fc.integer({ min: -2 * HOUR, max: 2 * HOUR }), { maxLength: 30 });
  const policies = fc.constantFrom("none", "last", "all");
  fc.assert(
    fc.property(steps, policies, (jumps, catchUp) => {
      const fired: number[] = [];
      let [nowMs, cursorMs, missed] = [0, 0, 0];
      for (const jump of jumps) {
        nowMs = Math.max(0, nowMs + jump);
        for (;;) {
          const plan = decideTicks(question({ nowMs, cursorMs, catchUp: catchUp as "none" }));
          if (plan.missed) [missed, cursorMs] = [missed + plan.missed.count, plan.missed.newestMs];
          else if (plan.fireMs !== undefined) {
            fired.push(plan.fireMs);
            cursorMs = plan.fireMs;
          } else break;
        }
      }
      expect(new Set(fired).size).toBe(fired.length);
      expect(fired.length + missed).toBe(Math.floor(cursorMs / MINUTE));
    }),
    { numRuns: 200 },
  );
});
