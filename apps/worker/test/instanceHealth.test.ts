import { jobFailure } from "@comfyq/contract";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  applyHealthEvent,
  type Health,
  type HealthEvent,
  NEW_INSTANCE,
  nextCure,
  standingOf,
} from "../src/instance/instanceHealth.ts";

const QUARANTINE_AFTER = 3;
const at = (nowMs: number) => ({ nowMs, quarantineAfter: QUARANTINE_AFTER, timeScale: 1 });
const after = (health: Health, ...events: readonly HealthEvent[]) =>
  events.reduce((state, event) => applyHealthEvent(state, event, at(1_000)), health);

const ARRIVAL: readonly HealthEvent[] = [
  { kind: "driven", by: "us" },
  { kind: "answered" },
  { kind: "looked", leftovers: { kind: "none" } },
];
const WELL = after(NEW_INSTANCE, ...ARRIVAL);
const fails = (code: Parameters<typeof jobFailure>[0]): HealthEvent => ({
  kind: "failed",
  failure: jobFailure(code, "x"),
});

const anyEvent: fc.Arbitrary<HealthEvent> = fc.oneof(
  fc.constantFrom<HealthEvent>(
    ...ARRIVAL,
    { kind: "away", reason: "gone" },
    { kind: "driven", by: { holder: "worker b" } },
    { kind: "looked", leftovers: { kind: "in_the_way", reason: "a prompt" } },
    { kind: "looked", leftovers: { kind: "rejoin", jobIds: ["a"] } },
    { kind: "look_again" },
    { kind: "rendered" },
    { kind: "canary_passed" },
    { kind: "canary_failed", reason: "late" },
    { kind: "restarted" },
    fails("cuda_fault"),
    fails("prompt_lost"),
    fails("comfyui_zombie"),
    fails("comfyui_unreachable"),
    fails("instance_refuses"),
    fails("node_failed"),
    fails("stalled"),
  ),
);
const anyHistory = fc.array(anyEvent, { maxLength: 40 });

test("a new instance is starting until it has answered, is ours, and was looked through", () => {
  expect(standingOf(NEW_INSTANCE).kind).toBe("starting");
  expect(standingOf(after(NEW_INSTANCE, ...ARRIVAL.slice(0, 2))).kind).toBe("starting");
  expect(standingOf(WELL)).toEqual({ kind: "well" });
});

test("an instance that was away is looked through again before anything is claimed", () => {
  const back = after(WELL, { kind: "away", reason: "gone" }, { kind: "answered" });
  expect(back.leftovers).toEqual({ kind: "unknown" });
  expect(standingOf(back).kind).not.toBe("well");
});

test("three failures in a row that it is to blame for quarantine it, and others in between do not count", () => {
  const two = after(WELL, fails("instance_disk_full"), fails("node_failed"), fails("instance_disk_full"));
  expect(standingOf(two)).toEqual({ kind: "well" });
  expect(standingOf(after(two, fails("stalled"))).kind).toBe("well");
  expect(standingOf(after(two, fails("instance_disk_full"))).kind).toBe("quarantined");
  expect(standingOf(after(two, { kind: "rendered" }, fails("instance_disk_full"))).kind).toBe("well");
});

test("one that runs nothing is quarantined at once", () => {
  expect(standingOf(after(WELL, fails("comfyui_zombie"))).kind).toBe("quarantined");
});

test("one that refuses prompts (its key, its credits) is quarantined at once, says why, and is not restarted for it", () => {
  const refusing = after(WELL, { kind: "failed", failure: jobFailure("instance_refuses", "it answered 402") });
  expect(standingOf(refusing)).toMatchObject({ kind: "quarantined", reason: expect.stringContaining("402") });
  const cureAt = (nowMs: number) => nextCure(refusing, { nowMs, canRestart: true, timeScale: 1 });
  expect([cureAt(5_900), cureAt(6_100)]).toEqual(["none", "canary"]);
  expect(standingOf(after(refusing, { kind: "canary_passed" }))).toEqual({ kind: "well" });
});

test("the second worker says who has the instance, and takes over when it is let go", () => {
  const refused = after(WELL, { kind: "driven", by: { holder: "worker gpu-1 on box" } });
  expect(standingOf(refused)).toMatchObject({
    kind: "unready",
    reason: expect.stringContaining("worker gpu-1 on box"),
  });
  const taken = after(refused, { kind: "driven", by: "us" }, { kind: "looked", leftovers: { kind: "none" } });
  expect(standingOf(taken)).toEqual({ kind: "well" });
});

describe("whatever has happened", () => {
  test("nothing is claimed in quarantine, away, under another's lease, unlooked, or with a prompt in the way", () => {
    const claims = fc.property(anyHistory, (events) => {
      const health = after(NEW_INSTANCE, ...events);
      if (standingOf(health).kind !== "well") return;
      expect(health.quarantine).toBeUndefined();
      expect(health.away).toBeUndefined();
      expect(health.driver.kind).toBe("us");
      expect(["none", "rejoin"]).toContain(health.leftovers.kind);
    });
    fc.assert(claims, { numRuns: 2_000 });
  });

  test("an instance that answers, is ours, holds nothing and flies a canary is well again", () => {
    const recovers = fc.property(anyHistory, (events) => {
      const health = after(after(NEW_INSTANCE, ...events), { kind: "canary_passed" }, ...ARRIVAL);
      expect(standingOf(health)).toEqual({ kind: "well" });
      expect(health.sickInRow).toBe(0);
    });
    fc.assert(recovers, { numRuns: 1_000 });
  });

  test("only a canary ends a quarantine", () => {
    const stays = fc.property(anyHistory, anyEvent, (events, next) => {
      const health = after(NEW_INSTANCE, ...events);
      fc.pre(health.quarantine !== undefined);
      if (next.kind !== "canary_passed") expect(after(health, next).quarantine).toBeDefined();
    });
    fc.assert(stays, { numRuns: 1_000 });
  });
});

test("canaries are tried less and less often, never more than a minute apart, and one restart comes before the second", () => {
  let health = after(WELL, fails("cuda_fault"), fails("cuda_fault"), fails("cuda_fault"));
  const did: string[] = [];
  const waits: number[] = [];
  let nowMs = 1_000;
  while (did.length < 9) {
    const cure = nextCure(health, { nowMs, canRestart: true, timeScale: 1 });
    if (cure === "none") {
      const nextMs = health.quarantine?.nextCanaryAtMs ?? 0;
      waits.push(nextMs - nowMs);
      nowMs = nextMs;
      continue;
    }
    did.push(cure);
    const events: HealthEvent[] =
      cure === "restart" ? [{ kind: "restarted" }, { kind: "answered" }] : [{ kind: "canary_failed", reason: "late" }];
    for (const event of events) health = applyHealthEvent(health, event, at(nowMs));
  }
  expect(did).toEqual(["canary", "restart", ...Array.from({ length: 7 }, () => "canary")]);
  expect(waits).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
});

test("an instance that was restarted a moment ago is not restarted for the same trouble", () => {
  const health = after(WELL, { kind: "restarted" }, { kind: "answered" }, fails("comfyui_zombie"));
  expect(nextCure(health, { nowMs: 100_000, canRestart: true, timeScale: 1 })).toBe("canary");
  expect(nextCure(after(WELL, fails("comfyui_zombie")), { nowMs: 100_000, canRestart: true, timeScale: 1 })).toBe(
    "restart",
  );
  expect(nextCure(WELL, { nowMs: 100_000, canRestart: true, timeScale: 1 })).toBe("none");
});

test("one CUDA fault is enough for a quarantine: the context stays broken until the process is restarted", () => {
  expect(standingOf(after(WELL, fails("cuda_fault"))).kind).toBe("quarantined");
  expect(standingOf(after(WELL, fails("instance_disk_full"))).kind).toBe("well");
});

test("one that stays away is restarted after a minute, and every minute after, but not while another worker drives it", () => {
  const cure = (health: Health, nowMs: number) => nextCure(health, { nowMs, canRestart: true, timeScale: 1 });
  let health = applyHealthEvent(WELL, { kind: "away", reason: "gone" }, at(1_000));
  health = applyHealthEvent(health, { kind: "away", reason: "still gone" }, at(50_000));
  expect([cure(health, 60_999), cure(health, 61_000)]).toEqual(["none", "restart"]);
  health = applyHealthEvent(health, { kind: "restarted" }, at(61_000));
  expect([cure(health, 120_999), cure(health, 121_000)]).toEqual(["none", "restart"]);
  const driven = applyHealthEvent(health, { kind: "driven", by: { holder: "worker b" } }, at(121_000));
  expect(cure(driven, 121_000)).toBe("none");
  expect(cure(applyHealthEvent(health, { kind: "answered" }, at(121_000)), 999_000)).toBe("none");
});
