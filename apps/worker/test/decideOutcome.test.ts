import { type Attempt, JOB_ERRORS, type JobErrorCode, jobFailure, policyOf } from "@comfyq/contract";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decideOutcome, MOST_UNCOUNTED_FAILURES, type TriesSoFar } from "../src/attempt/decideOutcome.ts";

type Try = Pick<Attempt, "end" | "counted" | "error" | "instance">;

const CODES = Object.keys(JOB_ERRORS) as JobErrorCode[]; // keys of the policy table
const failed = (code: JobErrorCode, counted: boolean, instance = "here"): Try => ({
  end: "failed",
  counted,
  error: jobFailure(code, "x"),
  instance,
});
const tries = (given: Partial<TriesSoFar> = {}): TriesSoFar => ({
  earlier: [],
  maxAttempts: 3,
  instance: "here",
  neighbours: [],
  ...given,
});
const there = [{ instance: "there" }];

test("the same graph gives the same answer: a rejected workflow is not tried again", () => {
  const outcome = decideOutcome(jobFailure("workflow_rejected", "x"), tries({ maxAttempts: 5 }), 0.5);
  expect(outcome.kind).toBe("failed");
});

test("an instance that is away costs the job nothing: it goes back to the queue, and the journal keeps why", () => {
  const outcome = decideOutcome(jobFailure("comfyui_unreachable", "gone"), tries({ maxAttempts: 1 }), 0.5);
  expect(outcome).toMatchObject({ kind: "give_back", error: { code: "comfyui_unreachable", message: "gone" } });
});

test("a lost prompt is rendered again even when max_attempts is 1, because it was not the job's fault", () => {
  const outcome = decideOutcome(jobFailure("prompt_lost", "x"), tries({ maxAttempts: 1 }), 0.5);
  expect(outcome).toMatchObject({ kind: "retry", counted: false, afterMs: 0 });
});

describe("a code that says elsewhere", () => {
  test.each(["model_missing", "node_class_missing"] as const)(
    "%s fails at once when every instance lacks it",
    (code) => {
      const error = jobFailure(code, "x");
      expect(decideOutcome(error, tries(), 0).kind).toBe("failed");
      expect(decideOutcome(error, tries({ neighbours: there }), 0)).toMatchObject({ kind: "retry", counted: false });
      const both = [failed(code, false, "there")];
      expect(decideOutcome(error, tries({ neighbours: there, earlier: both }), 0).kind).toBe("failed");
    },
  );

  test("a neighbour that failed it in another way still is an elsewhere", () => {
    const earlier = [failed("interrupted", false, "there")];
    const outcome = decideOutcome(jobFailure("model_missing", "x"), tries({ neighbours: there, earlier }), 0);
    expect(outcome.kind).toBe("retry");
  });

  test("out of memory is tried once more, at once, and not a third time", () => {
    const oom = jobFailure("out_of_gpu_memory", "x");
    expect(decideOutcome(oom, tries({ maxAttempts: 9 }), 0)).toMatchObject({
      kind: "retry",
      counted: true,
      afterMs: 0,
    });
    const earlier = [failed("out_of_gpu_memory", true)];
    expect(decideOutcome(oom, tries({ maxAttempts: 9, neighbours: there, earlier }), 0).kind).toBe("failed");
  });

  test.each(["cuda_fault", "comfyui_zombie"] as const)(
    "%s costs no attempt, and waits where nobody else is",
    (code) => {
      const error = jobFailure(code, "x");
      const alone = decideOutcome(error, tries({ maxAttempts: 1 }), 0);
      expect(alone).toMatchObject({ kind: "retry", counted: false });
      expect(alone.kind === "retry" && alone.afterMs).toBeGreaterThanOrEqual(500);
      expect(decideOutcome(error, tries({ maxAttempts: 1, neighbours: there }), 0)).toMatchObject({ afterMs: 0 });
    },
  );

  test("a stall costs an attempt: the instance still ran a canary", () => {
    const stall = jobFailure("stalled", "x");
    expect(decideOutcome(stall, tries(), 0)).toMatchObject({ kind: "retry", counted: true });
    expect(decideOutcome(stall, tries({ maxAttempts: 1 }), 0).kind).toBe("failed");
  });
});

test("max_attempts is the number of counted tries, this one included", () => {
  const error = jobFailure("input_unreachable", "x");
  const earlier = [failed("input_unreachable", true)];
  expect(decideOutcome(error, tries({ earlier, maxAttempts: 3 }), 0).kind).toBe("retry");
  expect(decideOutcome(error, tries({ earlier, maxAttempts: 2 }), 0).kind).toBe("failed");
});

test("waits grow, stay within a minute, and are never negative, whatever the dice", () => {
  const error = jobFailure("output_push_failed", "x");
  const waits = fc.property(
    fc.integer({ min: 0, max: MOST_UNCOUNTED_FAILURES - 1 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    (n, dice) => {
      const earlier = Array.from({ length: n }, () => failed("output_push_failed", false));
      const outcome = decideOutcome(error, tries({ earlier }), dice);
      expect(outcome.kind).toBe("retry");
      if (outcome.kind === "retry") expect(outcome.afterMs).toBeGreaterThanOrEqual(500);
      if (outcome.kind === "retry") expect(outcome.afterMs).toBeLessThanOrEqual(60_000);
    },
  );
  fc.assert(waits);
});

test("whatever fails in whatever order, every job ends after a bounded number of tries, and within the table's limits", () => {
  const game = fc.property(
    fc.infiniteStream(fc.constantFrom(...CODES)),
    fc.integer({ min: 1, max: 20 }),
    fc.constantFrom([], there),
    (codes, maxAttempts, neighbours) => {
      const earlier: Try[] = [];
      for (const code of codes) {
        const outcome = decideOutcome(jobFailure(code, "x"), tries({ earlier, maxAttempts, neighbours }), 0.5);
        if (outcome.kind === "failed") break;
        const counted = outcome.kind === "retry" && outcome.counted;
        earlier.push({ ...failed(code, counted), end: outcome.kind === "retry" ? "failed" : "given_back" });
        expect(earlier.length).toBeLessThanOrEqual(maxAttempts + MOST_UNCOUNTED_FAILURES + 100);
      }
      expect(earlier.filter((attempt) => attempt.counted).length).toBeLessThan(maxAttempts);
      for (const code of CODES) {
        const most = policyOf(code).retriesAtMost ?? Number.POSITIVE_INFINITY;
        expect(earlier.filter(({ error }) => error?.code === code).length).toBeLessThanOrEqual(most);
      }
    },
  );
  fc.assert(game);
});
