import fc from "fast-check";
import { expect, test } from "vitest";
import { fenceAtMs, type Lease, leaseAfter, newLease } from "../src/lease.ts";
import { SETTINGS } from "../src/settings.ts";

const { fenceMs, lockMs, renewMs, fenceCheckMs } = SETTINGS;
const look = (lease: Lease, atMs: number) => leaseAfter(lease, { kind: "looked", atMs }, fenceMs);
const grant = (lease: Lease, askedAtMs: number) => leaseAfter(lease, { kind: "granted", askedAtMs }, fenceMs);

test("the fence strikes before the lock can end, also when it is looked for late", () => {
  expect(fenceMs + fenceCheckMs).toBeLessThan(lockMs);
  expect(2 * renewMs).toBeLessThan(fenceMs); // one lost renewal loses no job
  const lease = newLease(1_000);
  expect(fenceAtMs(lease, fenceMs)).toBe(1_000 + fenceMs);
  expect(look(lease, 1_000 + fenceMs - 1).isLost).toBe(false);
  expect(look(lease, 1_000 + fenceMs).isLost).toBe(true);
  expect(look(lease, 1_000_000).isLost).toBe(true);
});

test("a late answer counts from when it was asked for, and an overtaken one takes nothing away", () => {
  const lease = grant(newLease(0), 3_000);
  expect(look(lease, 3_000 + fenceMs - 1).isLost).toBe(false);
  expect(look(lease, 3_000 + fenceMs).isLost).toBe(true);
  expect(grant(lease, 1_000)).toEqual(lease);
});

test("a lost lease is never ours again, whatever Redis answers", () => {
  const lost = [look(newLease(0), fenceMs), leaseAfter(newLease(0), { kind: "refused" }, fenceMs)];
  for (const lease of lost) {
    expect(look(grant(lease, 1_000_000), 1_000_001).isLost).toBe(true);
    expect(grant(lease, 1_000_000)).toEqual(lease);
  }
});

/** What may happen to a holder and to its line to Redis, each step after some time. */
type Step = { readonly afterMs: number } & (
  | { readonly kind: "ask" } // sends a renewal
  | { readonly kind: "redis_answers" } // the oldest renewal under way reaches Redis
  | { readonly kind: "hear" } // the oldest answer reaches the holder
  | { readonly kind: "look" } // a timer, or somebody asks
  | { readonly kind: "lose_line" } // whatever is under way is never heard of again
);

const afterMs = fc.oneof(
  fc.nat({ max: renewMs }),
  fc.nat({ max: 2 * lockMs }), // stopped, frozen
);
const kind = fc.constantFrom<Step["kind"]>("ask", "redis_answers", "hear", "look", "lose_line");
const steps = fc.array(fc.record({ afterMs, kind }) as fc.Arbitrary<Step>, { maxLength: 80 }); // no kind has more fields

test("whoever believes that a lock is theirs is right, through any stops, delays and losses", () => {
  fc.assert(
    fc.property(steps, (story) => {
      let nowMs = 0;
      let lockEndsAtMs = lockMs;
      let lease = newLease(0);
      const underWay: number[] = [];
      const answers: { readonly askedAtMs: number; readonly granted: boolean }[] = [];
      for (const step of story) {
        nowMs += step.afterMs;
        if (step.kind === "ask") underWay.push(nowMs);
        if (step.kind === "redis_answers") {
          const askedAtMs = underWay.shift();
          const granted = nowMs < lockEndsAtMs;
          if (askedAtMs !== undefined && granted) lockEndsAtMs = nowMs + lockMs;
          if (askedAtMs !== undefined) answers.push({ askedAtMs, granted });
        }
        if (step.kind === "hear") {
          const answer = answers.shift();
          if (answer)
            lease = answer.granted ? grant(lease, answer.askedAtMs) : leaseAfter(lease, { kind: "refused" }, fenceMs);
        }
        if (step.kind === "lose_line") {
          underWay.length = 0;
          answers.length = 0;
        }
        const wasLost = lease.isLost;
        lease = look(lease, nowMs);
        if (wasLost) expect(lease.isLost).toBe(true);
        // The heart of promise I4: belief implies truth, and with time to spare for stopping a GPU.
        if (!lease.isLost) expect(nowMs).toBeLessThanOrEqual(lockEndsAtMs - (lockMs - fenceMs));
      }
    }),
    { numRuns: 2_000 },
  );
});

test("a holder whose renewals are answered within a renewal's time never loses its lease", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: renewMs }), { minLength: 1, maxLength: 100 }), (delaysMs) => {
      let lease = newLease(0);
      delaysMs.forEach((delayMs, at) => {
        const askedAtMs = (at + 1) * renewMs;
        lease = look(lease, askedAtMs + delayMs);
        lease = grant(lease, askedAtMs);
      });
      expect(lease.isLost).toBe(false);
    }),
  );
});
