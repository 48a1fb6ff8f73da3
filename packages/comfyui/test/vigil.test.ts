import { describe, expect, test } from "vitest";
import { ComfyError } from "../src/errors.ts";
import { applyReply, type Circumstances, nextStep, type Reply, startVigil, type Vigil } from "../src/vigil.ts";

const CALM: Circumstances = {
  nowMs: 0,
  promptId: "p",
  heardAtMs: 0,
  hasEnded: false,
  isDeaf: false,
  sharesQueue: false,
  stuckNode: undefined,
  stallMs: 10_000,
  pollMs: 1_000,
  unreachableMs: 60_000,
};

const running: Reply = { kind: "running" };
const unknown: Reply = { kind: "unknown" };
const pending = (ahead: number): Reply => ({ kind: "pending", ahead });
const trouble = (code: "unreachable" | "busy" | "rate_limited", retryAfterSeconds?: number): Reply => ({
  kind: "trouble",
  error: new ComfyError(code, "away", { facts: retryAfterSeconds === undefined ? {} : { retryAfterSeconds } }),
});

/** Gives the replies, each at its moment, and returns what has come of it. */
function after(...replies: readonly (readonly [number, Reply])[]): Vigil {
  return replies.reduce((vigil, [nowMs, reply]) => applyReply(vigil, reply, { ...CALM, nowMs }), startVigil(0));
}

/** The same with the moment of the last frame beside each reply. */
function heard(...replies: readonly (readonly [number, Reply, number?])[]): Vigil {
  return replies.reduce(
    (vigil, [nowMs, reply, heardAtMs = -1]) => applyReply(vigil, reply, { ...CALM, nowMs, heardAtMs }),
    startVigil(0),
  );
}

const step = (vigil: Vigil, now: Partial<Circumstances>) => nextStep(vigil, { ...CALM, ...now });
const codeOf = (vigil: Vigil, now: Partial<Circumstances>) => {
  const next = step(vigil, now);
  return next.kind === "give_up" ? next.error.code : next.kind;
};

describe("silence", () => {
  const vigil = after([0, running], [5_000, running]);

  test("is stalled when it is as long as allowed", () => {
    expect(codeOf(vigil, { nowMs: 9_999 })).toBe("ask");
    expect(codeOf(vigil, { nowMs: 10_000 })).toBe("stalled");
  });

  test("is ended by a frame", () => {
    expect(codeOf(vigil, { nowMs: 10_000, heardAtMs: 4_000 })).toBe("ask");
  });

  test("is ended by moving up in the queue, and by beginning to run", () => {
    expect(codeOf(after([0, pending(3)], [9_000, pending(2)]), { nowMs: 12_000 })).toBe("ask");
    expect(codeOf(after([0, pending(0)], [9_000, running]), { nowMs: 12_000 })).toBe("ask");
    expect(codeOf(after([0, pending(2)], [9_000, pending(2)]), { nowMs: 12_000 })).toBe("stalled");
  });

  test("is not kept by waiting in a queue that others fill, too", () => {
    const shared = { ...CALM, sharesQueue: true };
    const waiting = applyReply(startVigil(0), pending(2), shared);
    const later = applyReply(waiting, pending(2), { ...shared, nowMs: 9_999_000 });
    expect(nextStep(later, { ...shared, nowMs: 9_999_000 }).kind).toBe("ask");
    const started = applyReply(later, running, { ...shared, nowMs: 9_999_500 });
    expect(nextStep(started, { ...shared, nowMs: 10_009_500 })).toMatchObject({ error: { code: "stalled" } });
  });

  test("counts four times longer while no frame can reach us", () => {
    expect(codeOf(vigil, { nowMs: 39_999, isDeaf: true })).toBe("ask");
    expect(codeOf(vigil, { nowMs: 40_000, isDeaf: true })).toBe("stalled");
  });

  test("does not count while the server could not be asked", () => {
    const back = after([0, running], [1_000, trouble("unreachable")], [30_000, running]);
    expect(codeOf(back, { nowMs: 35_000 })).toBe("ask");
  });

  test("counts although the server fails at every other question: it is not asked for ever", () => {
    const flaky = Array.from({ length: 500 }, (_, turn): [number, Reply] => [
      turn * 1_000,
      turn % 2 === 0 ? running : trouble("unreachable"),
    ]);
    expect(codeOf(after(...flaky, [500_000, running]), { nowMs: 500_000 })).toBe("stalled");
  });

  test("counts although the prompt comes and goes, as behind one address for two servers", () => {
    const flicker = Array.from({ length: 20 }, (_, turn): [number, Reply] => [
      turn * 1_000,
      turn % 2 === 0 ? running : unknown,
    ]);
    expect(codeOf(after(...flicker, [20_000, running]), { nowMs: 20_000 })).toBe("stalled");
  });

  test("never counts when stallMs is 0", () => {
    expect(codeOf(vigil, { nowMs: 1e9, stallMs: 0 })).toBe("ask");
  });

  test("is not overslept: the next look is at the moment it becomes a stall", () => {
    expect(step(vigil, { nowMs: 9_600 })).toEqual({ kind: "ask", afterMs: 400 });
  });
});

describe("an unknown prompt", () => {
  test("is looked for a second time soon, then lost", () => {
    expect(step(after([0, unknown]), {})).toEqual({ kind: "ask", afterMs: 250 });
    expect(codeOf(after([0, unknown], [250, unknown]), {})).toBe("prompt_lost");
  });

  test("that was seen in between is not lost", () => {
    expect(codeOf(after([0, unknown], [1, running], [2, unknown]), {})).toBe("ask");
  });

  test("of which a frame came since the first look is not lost", () => {
    const back = [[0, unknown] as const, [250, unknown, 100] as const];
    expect(codeOf(heard(...back), {})).toBe("ask");
    expect(codeOf(heard(...back, [500, unknown, 100]), {})).toBe("prompt_lost");
  });

  test("is not lost because of an outage between two looks that knew it", () => {
    expect(codeOf(after([0, running], [1, trouble("unreachable")], [2, unknown]), {})).toBe("ask");
  });
});

describe("an outage", () => {
  test("is borne for unreachableMs from its first moment, then told as it was", () => {
    const vigil = after([1_000, trouble("unreachable")], [50_000, trouble("unreachable")]);
    expect(codeOf(vigil, { nowMs: 60_999 })).toBe("ask");
    expect(codeOf(vigil, { nowMs: 61_000 })).toBe("unreachable");
  });

  test("of a busy server is borne five times longer: it has the prompt in hand", () => {
    const vigil = after([0, trouble("busy")]);
    expect(codeOf(vigil, { nowMs: 299_999 })).toBe("ask");
    expect(codeOf(vigil, { nowMs: 300_000 })).toBe("busy");
  });

  test("of HTTP alone is none while frames of the prompt are heard", () => {
    const vigil = after([0, trouble("unreachable")], [59_000, trouble("unreachable")]);
    expect(codeOf(vigil, { nowMs: 118_000, heardAtMs: 59_000 })).toBe("ask");
    expect(codeOf(vigil, { nowMs: 119_000, heardAtMs: 59_000 })).toBe("unreachable");
  });

  test("with a Retry-After is waited out", () => {
    expect(step(after([0, trouble("rate_limited", 7)]), {})).toEqual({ kind: "ask", afterMs: 7_000 });
  });
});

describe("the next look", () => {
  test("is a poll away", () => {
    expect(step(after([0, running]), {})).toEqual({ kind: "ask", afterMs: 1_000 });
  });

  test("comes soon after a frame said that it is over, then ever later", () => {
    let vigil = startVigil(0);
    const waits = Array.from({ length: 8 }, () => {
      vigil = applyReply(vigil, running, { ...CALM, hasEnded: true });
      const next = step(vigil, { hasEnded: true });
      return next.kind === "ask" ? next.afterMs : -1;
    });
    expect(waits).toEqual([50, 100, 200, 400, 800, 1_000, 1_000, 1_000]);
  });
});
