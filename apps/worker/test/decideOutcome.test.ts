import { type Attempt, JOB_ERRORS, type JobErrorCode, jobFailure } from "@comfyq/contract";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decideOutcome, MOST_UNCOUNTED_FAILURES } from "../src/attempt/decideOutcome.ts";

type Try = Pick<Attempt, "end" | "counted" | "error">;

const CODES = Object.keys(JOB_ERRORS) as JobErrorCode[]; // keys of the policy table
const failed = (code: JobErrorCode, counted: boolean): Try => ({
  end: "failed",
  counted,
  error: jobFailure(code, "x"),
});

test("the same graph gives the same answer: a rejected workflow is not tried again", () => {
  const outcome = decideOutcome(jobFailure("workflow_rejected", "x"), { earlier: [], maxAttempts: 5 }, 0.5);
  expect(outcome.kind).toBe("failed");
});

test("an instance that is away costs the job nothing: it goes back to the queue", () => {
  const outcome = decideOutcome(jobFailure("comfyui_unreachable", "x"), { earlier: [], maxAttempts: 1 }, 0.5);
  expect(outcome.kind).toBe("give_back");
});

test("a lost prompt is rendered again even when max_attempts is 1, because it was not the job's fault", () => {
  const outcome = decideOutcome(jobFailure("prompt_lost", "x"), { earlier: [], maxAttempts: 1 }, 0.5);
  expect(outcome).toMatchObject({ kind: "retry", counted: false, afterMs: 0 });
});

test("out of memory is tried once more, and not a third time", () => {
  const oom = jobFailure("out_of_gpu_memory", "x");
  expect(decideOutcome(oom, { earlier: [], maxAttempts: 9 }, 0).kind).toBe("retry");
  expect(decideOutcome(oom, { earlier: [failed("out_of_gpu_memory", true)], maxAttempts: 9 }, 0).kind).toBe("failed");
});

test("max_attempts is the number of counted tries, this one included", () => {
  const error = jobFailure("input_unreachable", "x");
  const once = [failed("input_unreachable", true)];
  expect(decideOutcome(error, { earlier: once, maxAttempts: 3 }, 0).kind).toBe("retry");
  expect(decideOutcome(error, { earlier: once, maxAttempts: 2 }, 0).kind).toBe("failed");
});

test("waits grow, stay within a minute, and are never negative, whatever the dice", () => {
  const error = jobFailure("output_push_failed", "x");
  const waits = fc.property(
    fc.integer({ min: 0, max: MOST_UNCOUNTED_FAILURES - 1 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    (n, dice) => {
      const earlier = Array.from({ length: n }, () => failed("output_push_failed", false));
      const outcome = decideOutcome(error, { earlier, maxAttempts: 3 }, dice);
      expect(outcome.kind).toBe("retry");
      if (outcome.kind === "retry") expect(outcome.afterMs).toBeGreaterThanOrEqual(500);
      if (outcome.kind === "retry") expect(outcome.afterMs).toBeLessThanOrEqual(60_000);
    },
  );
  fc.assert(waits);
});

test("whatever fails in whatever order, every job ends after a bounded number of tries", () => {
  const game = fc.property(
    fc.infiniteStream(fc.constantFrom(...CODES)),
    fc.integer({ min: 1, max: 20 }),
    (codes, maxAttempts) => {
      const earlier: Try[] = [];
      for (const code of codes) {
        const outcome = decideOutcome(jobFailure(code, "x"), { earlier, maxAttempts }, 0.5);
        if (outcome.kind === "failed") break;
        const counted = outcome.kind === "retry" && outcome.counted;
        earlier.push({
          end: outcome.kind === "retry" ? "failed" : "given_back",
          counted,
          error: jobFailure(code, "x"),
        });
        expect(earlier.length).toBeLessThanOrEqual(maxAttempts + MOST_UNCOUNTED_FAILURES + 100);
      }
      expect(earlier.filter((attempt) => attempt.counted).length).toBeLessThan(maxAttempts);
    },
  );
  fc.assert(game);
});
