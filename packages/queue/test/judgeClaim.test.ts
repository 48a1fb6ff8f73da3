import { type Attempt, jobFailure } from "@comfyq/contract";
import { describe, expect, test } from "vitest";
import { type ClaimFacts, judgeClaim } from "../src/judgeClaim.ts";
import { SETTINGS } from "../src/settings.ts";

const attempt = (facts: Partial<Attempt> = {}): Attempt => ({
  epoch: 1,
  worker: "w",
  instance: "here",
  stage: "rendering",
  started_at: "2026-01-01T00:00:00.000Z",
  ended_at: null,
  end: null,
  counted: false,
  prompt_id: null,
  prepare_ms: null,
  render_ms: null,
  store_ms: null,
  error: null,
  stop: null,
  ...facts,
});

const failed = (code: Parameters<typeof jobFailure>[0], facts: Partial<Attempt> = {}) =>
  attempt({ end: "failed", error: jobFailure(code, "x"), ...facts });

const judge = (facts: Partial<ClaimFacts> = {}) =>
  judgeClaim(
    {
      earlier: [],
      instance: "here",
      neighbours: [],
      cancelWanted: false,
      expiresAtMs: undefined,
      nowMs: 1_000,
      declinedForMs: 0,
      isForOthers: false,
      isTooNew: false,
      redisWasAway: false,
      ...facts,
    },
    SETTINGS,
  );
const code = (facts: Partial<ClaimFacts>) => {
  const verdict = judge(facts);
  return verdict.kind === "end" ? verdict.error.code : verdict.kind;
};
const there = [{ instance: "there" }];

describe("jobs that nobody should begin", () => {
  test("one that somebody wants canceled ends, whatever else is known of it", () => {
    expect(code({ cancelWanted: true, expiresAtMs: 0, earlier: [attempt(), attempt()] })).toBe("canceled");
  });

  test("one whose time to start is over expires, but not once an attempt was begun", () => {
    expect(code({ expiresAtMs: 1_001 })).toBe("take");
    expect(code({ expiresAtMs: 1_000 })).toBe("expired");
    expect(code({ expiresAtMs: 1_000, earlier: [attempt()] })).toBe("take");
  });

  test("one under which two workers or ComfyUIs died is poison, and says how often", () => {
    const deaths = [
      attempt(),
      failed("prompt_lost"),
      attempt({ end: "given_back", stage: "rendering", error: jobFailure("comfyui_unreachable", "x") }),
      attempt({ end: "given_back", stage: "submitted", error: jobFailure("comfyui_unreachable", "x") }),
    ];
    for (const death of deaths) {
      expect(code({ earlier: [death] })).toBe("take");
      expect(code({ earlier: [death, attempt({ epoch: 2 })] })).toBe("poison");
    }
    const verdict = judge({ earlier: deaths });
    expect(verdict.kind === "end" && verdict.error.message).toContain("died 4 times");
  });

  test("a death while its files were stored is half a suspicion: its worker was rendering another job by then", () => {
    const stored = attempt({ stage: "storing" });
    expect(code({ earlier: [stored, attempt({ epoch: 2 })] })).toBe("take");
    expect(code({ earlier: [stored, stored, stored] })).toBe("take");
    expect(code({ earlier: [stored, stored, stored, stored] })).toBe("poison");
  });

  test("giving back, being refused by a ComfyUI that was away before, and common failures are no deaths", () => {
    const harmless = [
      attempt({ end: "given_back" }),
      attempt({ end: "given_back", stage: "preparing", error: jobFailure("comfyui_unreachable", "x") }),
      attempt({ end: "given_back", stage: "storing", error: jobFailure("comfyui_unreachable", "x") }),
      failed("node_failed"),
      failed("output_push_failed"),
      failed("interrupted"),
    ];
    expect(code({ earlier: [...harmless, ...harmless] })).toBe("take");
  });
});

describe("a job whose prompt may run elsewhere", () => {
  const left = attempt({ instance: "there", prompt_id: "p" });

  test("is left to the living worker there, for a while", () => {
    expect(judge({ earlier: [left], neighbours: there })).toEqual({ kind: "decline", why: "home" });
    expect(code({ earlier: [left], neighbours: there, declinedForMs: SETTINGS.homePatienceMs - 1 })).toBe("decline");
    expect(code({ earlier: [left], neighbours: there, declinedForMs: SETTINGS.homePatienceMs })).toBe("take");
  });

  test("is left to it also after it was given back, but not after it ended otherwise or without a prompt", () => {
    expect(code({ earlier: [{ ...left, end: "given_back" }], neighbours: there })).toBe("decline");
    expect(code({ earlier: [{ ...left, end: "failed" }], neighbours: there })).toBe("take");
    expect(code({ earlier: [{ ...left, prompt_id: null }], neighbours: there })).toBe("take");
  });

  test("is taken when nobody is there, unless Redis was away: then they may be coming back", () => {
    expect(code({ earlier: [left] })).toBe("take");
    expect(code({ earlier: [left], neighbours: [{ instance: "somewhere" }] })).toBe("take");
    expect(code({ earlier: [left], redisWasAway: true })).toBe("decline");
  });

  test("is left to the worker of its own machine, though every machine calls its ComfyUI by the same address", () => {
    const earlier = [{ ...left, instance: "here", instance_id: "a:8188" }];
    const neighbours = [{ instance: "here", instance_id: "a:8188" }];
    expect(code({ earlier, neighbours, instance_id: "b:8188" })).toBe("decline");
    expect(code({ earlier, neighbours, instance_id: "a:8188" })).toBe("take");
  });

  test("is taken at once where one of its prompts is", () => {
    const earlier = [left, attempt({ epoch: 2, instance: "here", prompt_id: "q", end: "given_back" })];
    expect(code({ earlier, neighbours: there, redisWasAway: true })).toBe("take");
  });
});

test("a job that brings models is left to workers that can place them, however long they are busy", () => {
  expect(judge({ isForOthers: true })).toEqual({ kind: "decline", why: "elsewhere" });
  expect(code({ isForOthers: true, declinedForMs: 2 * SETTINGS.elsewherePatienceMs })).toBe("decline");
  expect(code({ isForOthers: true, cancelWanted: true })).toBe("canceled");
});

describe("a job that failed because of the instance", () => {
  const lacking = failed("model_missing");

  test("is left to a neighbour that has not failed it, for a long while", () => {
    expect(judge({ earlier: [lacking], neighbours: there })).toEqual({ kind: "decline", why: "elsewhere" });
    expect(code({ earlier: [lacking], neighbours: there, declinedForMs: SETTINGS.homePatienceMs })).toBe("decline");
    expect(code({ earlier: [lacking], neighbours: there, declinedForMs: SETTINGS.elsewherePatienceMs })).toBe("take");
  });

  test("is taken when every neighbour has failed it the same way, or there is none", () => {
    expect(code({ earlier: [lacking] })).toBe("take");
    expect(code({ earlier: [lacking], neighbours: [{ instance: "here" }] })).toBe("take");
    expect(code({ earlier: [lacking, failed("out_of_gpu_memory", { instance: "there" })], neighbours: there })).toBe(
      "take",
    );
  });

  test("is taken by an instance that has not failed it, and after failures that are the same everywhere", () => {
    expect(code({ earlier: [failed("model_missing", { instance: "there" })], neighbours: there })).toBe("take");
    expect(code({ earlier: [failed("output_push_failed")], neighbours: there })).toBe("take");
  });

  test("still avoids the instance after a later failure that was nobody's", () => {
    expect(code({ earlier: [lacking, failed("output_push_failed", { instance: "there" })], neighbours: there })).toBe(
      "decline",
    );
  });
});
