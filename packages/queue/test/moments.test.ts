import { ScheduleRule } from "@comfyq/contract";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { momentsBetween, nextMoment, readMomentRule } from "../src/index.ts";
import { countMoments, newestMoments } from "../src/schedules/moments.ts";
import { nextAlarm } from "../src/schedules/nextAlarm.ts";

const at = (moment: string) => Date.parse(moment);
const ruleOf = (rule: object, createdAtMs = 0) => readMomentRule(ScheduleRule.parse(rule), createdAtMs);
const show = (moments: readonly number[]) => moments.map((ms) => new Date(ms).toISOString().replace(":00.000Z", "Z"));

/** The first moments after one. */
function firstOf(rule: object, after: string, most: number): readonly string[] {
  return show(momentsBetween(ruleOf(rule), at(after), Number.POSITIVE_INFINITY, most));
}

describe("a time that is named by its hour fires once a day, also when clocks are set", () => {
  test.each([
    [
      "30 2 * * *",
      "Europe/Berlin",
      "2027-03-27T00:00Z",
      ["2027-03-27T01:30Z", "2027-03-28T01:30Z", "2027-03-29T00:30Z"],
    ],
    [
      "30 2 * * *",
      "Europe/Berlin",
      "2027-10-30T00:00Z",
      ["2027-10-30T00:30Z", "2027-10-31T00:30Z", "2027-11-01T01:30Z"],
    ],
    [
      "30 2 * * *",
      "America/New_York",
      "2027-03-13T00:00Z",
      ["2027-03-13T07:30Z", "2027-03-14T07:30Z", "2027-03-15T06:30Z"],
    ],
    [
      "30 1 * * *",
      "America/New_York",
      "2027-11-06T00:00Z",
      ["2027-11-06T05:30Z", "2027-11-07T05:30Z", "2027-11-08T06:30Z"],
    ],
    // Half an hour is set there, so 02:15 becomes 02:45; and 01:45 comes twice.
    ["15 2 * * *", "Australia/Lord_Howe", "2026-10-02T16:00Z", ["2026-10-03T15:45Z", "2026-10-04T15:15Z"]],
    ["45 1 * * *", "Australia/Lord_Howe", "2027-04-02T15:00Z", ["2027-04-03T14:45Z", "2027-04-04T15:15Z"]],
    // Midnight did not exist.
    ["0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00Z", ["2018-11-04T03:00Z", "2018-11-05T02:00Z"]],
    // A whole day did not exist.
    ["0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00Z", ["2011-12-30T22:00Z", "2012-12-29T22:00Z"]],
    ["30 2,3 * * *", "Europe/Berlin", "2027-03-28T00:00Z", ["2027-03-28T01:30Z", "2027-03-29T00:30Z"]],
  ])("%s in %s after %s", (cron, time_zone, after, expected) => {
    expect(firstOf({ cron, time_zone }, after, expected.length)).toEqual(expected);
  });

  test("nothing comes again in the hour that is shown twice, whenever one asks", () => {
    const rule = { cron: "30 2 * * *", time_zone: "Europe/Berlin" };
    for (const after of ["2027-10-31T00:30Z", "2027-10-31T00:59:59Z", "2027-10-31T01:00Z", "2027-10-31T01:29:59Z"])
      expect(firstOf(rule, after, 1)).toEqual(["2027-11-01T01:30Z"]);
  });
});

test.each([
  ["Europe/Berlin", "2027-10-30T20:00Z"],
  ["Europe/Berlin", "2027-03-27T20:00Z"],
  ["America/New_York", "2027-11-07T00:00Z"],
  ["America/New_York", "2027-03-14T00:00Z"],
  ["Australia/Lord_Howe", "2027-04-03T10:00Z"],
  ["Australia/Lord_Howe", "2026-10-03T10:00Z"],
])("a rule for every quarter of an hour keeps its pace through the night of %s after %s", (time_zone, after) => {
  const moments = momentsBetween(ruleOf({ cron: "*/15 * * * *", time_zone }), at(after), Number.POSITIVE_INFINITY, 60);
  expect(new Set(moments.slice(1).map((ms, n) => ms - (moments[n] ?? 0)))).toEqual(new Set([900_000]));
});

describe("calendars", () => {
  test.each([
    ["0 0 29 2 *", "2026-01-01T00:00Z", ["2028-02-29T00:00Z", "2032-02-29T00:00Z"]],
    ["0 0 29 2 *", "2096-03-01T00:00Z", ["2104-02-29T00:00Z"]],
    ["0 0 L * *", "2028-01-01T00:00Z", ["2028-01-31T00:00Z", "2028-02-29T00:00Z", "2028-03-31T00:00Z"]],
    ["0 9 13 * FRI", "2026-11-12T00:00Z", ["2026-11-13T09:00Z", "2026-11-20T09:00Z"]], // either is enough
    [
      "0 9 * * 5-7",
      "2026-11-27T00:00Z",
      ["2026-11-27T09:00Z", "2026-11-28T09:00Z", "2026-11-29T09:00Z", "2026-12-04T09:00Z"],
    ],
    ["@weekly", "2026-11-27T00:00Z", ["2026-11-29T00:00Z"]],
    [
      "10/20 8 * JAN ?",
      "2026-11-27T00:00Z",
      ["2027-01-01T08:10Z", "2027-01-01T08:30Z", "2027-01-01T08:50Z", "2027-01-02T08:10Z"],
    ],
  ])("%s after %s", (cron, after, expected) => {
    expect(firstOf({ cron }, after, expected.length)).toEqual(expected);
  });

  test("six fields begin with the second", () => {
    expect(firstOf({ cron: "*/20 59 23 * * *" }, "2026-12-31T23:59:20Z", 2)).toEqual([
      "2026-12-31T23:59:40.000Z",
      "2027-01-01T23:59Z",
    ]);
  });

  test("a day that no calendar has never comes", () => {
    expect(nextMoment(ruleOf({ cron: "0 0 30 2 *" }), at("2026-01-01"))).toBeUndefined();
  });
});

describe("intervals", () => {
  test("count from start_at, which is the first moment, or from when the schedule was made, which is none", () => {
    expect(firstOf({ every_s: 90, start_at: "2027-01-01T00:00:30Z" }, "2026-12-01T00:00Z", 2)).toEqual([
      "2027-01-01T00:00:30.000Z",
      "2027-01-01T00:02Z",
    ]);
    expect(nextMoment(ruleOf({ every_s: 90 }, 1_000), 1_000)).toBe(91_000);
  });

  test("nothing comes before start_at or after end_at, and what falls on either does", () => {
    const span = { start_at: "2027-01-01T10:00:00Z", end_at: "2027-01-01T12:00:00+00:00" };
    const hours = ["2027-01-01T10:00Z", "2027-01-01T11:00Z", "2027-01-01T12:00Z"];
    for (const rule of [{ cron: "0 * * * *" }, { every_s: 3_600 }])
      expect(firstOf({ ...rule, ...span }, "2026-01-01T00:00Z", 9)).toEqual(hours);
  });
});

const RULES = [
  { cron: "*/7 * * * *", time_zone: "Europe/Berlin" },
  { cron: "30 2 * * *", time_zone: "Europe/Berlin" },
  { cron: "15,45 1-3 * * *", time_zone: "Australia/Lord_Howe" },
  { cron: "13 */5 * * MON", time_zone: "America/New_York" },
  { every_s: 4_321 },
];

describe("for any rule and any moment", () => {
  const ruleAndMoment = fc.tuple(
    fc.constantFrom(...RULES),
    fc.integer({ min: at("2026-01-01"), max: at("2028-12-31") }),
  );

  test("moments come one after the other, whole seconds, none left out whoever asks from where", () => {
    const holds = ([rule, fromMs]: [object, number]) => {
      const read = ruleOf(rule);
      const moments = momentsBetween(read, fromMs, fromMs + 3 * 86_400_000, 2_000);
      for (const [n, ms] of moments.entries()) {
        const before = moments[n - 1] ?? fromMs;
        expect(ms).toBeGreaterThan(before);
        expect(ms % 1_000).toBe(0);
        const middle = Math.floor((before + ms - 1) / 2);
        expect(nextMoment(read, middle)).toBe(ms);
        expect(nextMoment(read, ms - 1)).toBe(ms);
      }
      return true;
    };
    fc.assert(fc.property(ruleAndMoment, holds), { numRuns: 60 });
  });

  test("the newest of them are the last of all of them, and they are counted right", () => {
    const holds = ([rule, fromMs]: [object, number]) => {
      const read = ruleOf(rule);
      const toMs = fromMs + 5 * 86_400_000;
      const all = momentsBetween(read, fromMs, toMs, 5_000);
      for (const most of [1, 3, 50]) expect(newestMoments(read, fromMs, toMs, most)).toEqual(all.slice(-most));
      expect(countMoments(read, fromMs, toMs, 5_000)).toBe(all.length);
      return true;
    };
    fc.assert(fc.property(ruleAndMoment, holds), { numRuns: 30 });
  });

  test("BullMQ's alarm rings at the same moments", () => {
    for (const rule of RULES) {
      const read = ruleOf(rule, 77_000);
      const pattern = "cron" in rule ? rule.cron : `@every ${rule.every_s}s from 77000`;
      const tz = "time_zone" in rule ? rule.time_zone : "UTC";
      const from = at("2027-03-27T23:00Z");
      expect(nextAlarm(from, { pattern, tz })).toBe(nextMoment(read, from));
    }
  });
});

test("less than no moments are none: a schedule whose limit is set below what has fired ends at once, and keeps nobody busy", () => {
  expect(momentsBetween(ruleOf({ every_s: 1 }), 0, Number.POSITIVE_INFINITY, -4)).toEqual([]);
});
