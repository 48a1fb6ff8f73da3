import { describe, expect, test } from "vitest";
import { deliveryBackoff } from "../src/deliveryBackoff.ts";
import { SETTINGS } from "../src/index.ts";

const waitsMs = SETTINGS.deliveryBackoffMs;
const HOUR = 3_600_000;

/** The moments of all tries to a receiver that never answers, in ms since the first. */
function tries(dice: number): readonly number[] {
  const moments = [0];
  for (let made = 1; made <= waitsMs.length; made += 1)
    moments.push((moments.at(-1) ?? 0) + deliveryBackoff(made, { waitsMs, askedMs: 0, dice }));
  return moments;
}

describe("a receiver that is away", () => {
  test("for ten minutes gets its webhook half an hour later at the latest", () => {
    for (const dice of [0, 0.5, 1]) {
      const arrives = tries(dice).find((moment) => moment >= 10 * 60_000);
      expect(arrives).toBeLessThanOrEqual(10 * 60_000 + 33 * 60_000);
    }
  });

  test("for three days is tried ten times, and once more after them", () => {
    const moments = tries(0.5);
    expect(moments).toHaveLength(10);
    expect((moments.at(-1) ?? 0) / HOUR).toBeCloseTo(75.6, 1); // Standard Webhooks' example: 75 h 35 min
    for (const dice of [0, 1]) expect(Math.abs((tries(dice).at(-1) ?? 0) / HOUR - 75.6)).toBeLessThan(7.6);
    expect(moments.filter((moment) => moment >= 72 * HOUR)).toHaveLength(1);
  });

  test("is not overrun when it is back: no two of a thousand webhooks wait equally long", () => {
    const wait = (dice: number) => deliveryBackoff(3, { waitsMs, askedMs: 0, dice });
    const waits = Array.from({ length: 1_000 }, (_, at) => wait(at / 1_000));
    expect(new Set(waits).size).toBe(1_000);
    expect(Math.min(...waits)).toBe(0.9 * 1_800_000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(1.1 * 1_800_000);
  });
});

test("a receiver that says when to come back is not asked before, nor later than in a day", () => {
  const asked = (askedMs: number) => deliveryBackoff(1, { waitsMs, askedMs, dice: 0.5 });
  expect(asked(0)).toBe(5_000);
  expect(asked(1_000)).toBe(5_000);
  expect(asked(120_000)).toBe(120_000);
  expect(asked(10 * 24 * HOUR)).toBe(24 * HOUR);
});
