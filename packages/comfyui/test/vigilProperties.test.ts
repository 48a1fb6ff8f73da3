import fc from "fast-check";
import { describe, test } from "vitest";
import { ComfyError, type ComfyErrorCode } from "../src/errors.ts";
import { applyReply, nextStep, type Reply, type Step, startVigil } from "../src/vigil.ts";

/*
 * A world of its own against the vigil: it knows when the prompt last gave a sign of life, and judges each decision by
 * that. Times are in ms.
 */

const LIMITS = { stallMs: 10_000, pollMs: 1_000, unreachableMs: 60_000 };
/** No question takes longer: each has a deadline. */
const LONGEST_ASK_MS = 30_000;
/** Silence of a deaf watch; then two looks that know nothing, each after the longest outage of a busy server. */
const LONGEST_END_MS = 4 * LIMITS.stallMs + 4 * (5 * LIMITS.unreachableMs + 2 * LONGEST_ASK_MS);

const TROUBLES = ["unreachable", "busy", "rate_limited", "protocol", "not_found"] as const;

/** What the world does between two questions. */
interface Turn {
  readonly reply: Reply;
  /** How long the question takes, and when within that time a frame of the prompt comes, if one does. */
  readonly askMs: number;
  readonly frameAt: number | undefined;
  /** Part of the wanted pause that passes before the next question: a bell may end it early. */
  readonly pause: number;
  readonly isDeaf: boolean;
}

const trouble = fc
  .record({ code: fc.constantFrom(...TROUBLES), retryAfterSeconds: fc.option(fc.nat(1000), { nil: undefined }) })
  .map(({ code, retryAfterSeconds }): Reply => {
    const facts = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
    return { kind: "trouble", error: new ComfyError(code, "away", { facts }) };
  });
const place = fc.oneof(
  fc.constant<Reply>({ kind: "running" }),
  fc.nat(3).map((ahead): Reply => ({ kind: "pending", ahead })),
);
const unknown = fc.constant<Reply>({ kind: "unknown" });

const turnOf = (reply: fc.Arbitrary<Reply>, frameAt: fc.Arbitrary<number | undefined>): fc.Arbitrary<Turn> =>
  fc.record({
    reply,
    frameAt,
    askMs: fc.oneof(fc.nat(20), fc.nat(LONGEST_ASK_MS)),
    pause: fc.double({ min: 0.25, max: 1, noNaN: true }),
    isDeaf: fc.boolean(),
  });

const anyTurn = turnOf(
  fc.oneof({ weight: 4, arbitrary: place }, { weight: 2, arbitrary: trouble }, { weight: 1, arbitrary: unknown }),
  fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
);
/** Says nothing new: the prompt stays where it was, or the server cannot be asked, or does not know it for once. */
const lifelessTurn = turnOf(
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<Reply>({ kind: "running" }) },
    { weight: 3, arbitrary: trouble },
    { weight: 1, arbitrary: unknown },
  ),
  fc.constant(undefined),
);

/** The world: plays turns until the vigil gives up or the turns end, and keeps account of the signs of life. */
class World {
  nowMs = 0;
  lifeMs = 0;
  gaveUp: ComfyErrorCode | undefined;
  #vigil = startVigil(0);
  #heardAtMs = 0;
  #place = "";
  /** Since the last look that knew the prompt, or frame of it. */
  #unknownLooks = 0;
  #troubleSinceMs: number | undefined;

  play(turns: Iterable<Turn>): this {
    for (const turn of turns) {
      const step = this.#answer(turn);
      if (step.kind === "give_up") {
        this.#judge(step.error.code);
        return this;
      }
      if (!(step.afterMs > 0 && step.afterMs <= 1_000_000)) throw new Error(`a pause of ${step.afterMs} ms`);
      this.nowMs += Math.max(1, step.afterMs * turn.pause); // no timer is finer
    }
    return this;
  }

  #answer({ reply, askMs, frameAt, isDeaf }: Turn): Step {
    if (frameAt !== undefined) {
      this.#heardAtMs = this.nowMs + frameAt * askMs;
      this.lifeMs = this.#heardAtMs;
      this.#unknownLooks = 0;
    }
    this.nowMs += askMs;
    this.#remember(reply);
    const now = { ...LIMITS, nowMs: this.nowMs, heardAtMs: this.#heardAtMs, isDeaf };
    const circumstances = { ...now, promptId: "p", hasEnded: false, sharesQueue: false, stuckNode: undefined };
    this.#vigil = applyReply(this.#vigil, reply, circumstances);
    return nextStep(this.#vigil, circumstances);
  }

  #remember(reply: Reply): void {
    if (reply.kind === "trouble") {
      this.#troubleSinceMs ??= this.nowMs;
      return;
    }
    this.#troubleSinceMs = undefined;
    if (reply.kind === "unknown") {
      this.#unknownLooks += 1;
      return;
    }
    this.#unknownLooks = 0;
    const seen = JSON.stringify(reply);
    if (seen !== this.#place) this.lifeMs = this.nowMs;
    this.#place = seen;
  }

  /** @throws Error when it gave up although there were signs of life */
  #judge(code: ComfyErrorCode): void {
    this.gaveUp = code;
    const quietMs = this.nowMs - this.lifeMs;
    const awayMs = this.nowMs - Math.max(this.#troubleSinceMs ?? this.nowMs, this.#heardAtMs);
    const isDue =
      code === "prompt_lost"
        ? this.#unknownLooks > 1
        : code === "stalled"
          ? quietMs >= LIMITS.stallMs
          : awayMs >= LIMITS.unreachableMs;
    if (!isDue) throw new Error(`${code} after ${quietMs} ms of silence and ${awayMs} ms of outage`);
  }
}

/** The same turns again and again, for as long as a watch may last at most. */
function* again(turns: readonly Turn[], isOver: () => boolean): Generator<Turn> {
  while (!isOver()) yield* turns;
}

describe("whatever the server says", () => {
  test("a watch never gives up while there are signs of life", () => {
    fc.assert(
      fc.property(fc.array(anyTurn, { maxLength: 60 }), (turns) => {
        new World().play(turns); // it judges by itself
      }),
      { numRuns: 2_000 },
    );
  });

  test("a watch ends within a bounded time after the last sign of life", () => {
    fc.assert(
      fc.property(
        fc.array(anyTurn, { maxLength: 20 }),
        fc.array(lifelessTurn, { minLength: 1, maxLength: 8 }),
        (lively, lifeless) => {
          const world = new World().play(lively);
          if (world.gaveUp !== undefined) return;
          const isOver = () => world.nowMs - world.lifeMs > LONGEST_END_MS;
          world.play(again(lifeless, isOver));
          if (world.gaveUp === undefined) {
            throw new Error(`still waiting ${Math.round(world.nowMs - world.lifeMs)} ms after the last sign of life`);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
