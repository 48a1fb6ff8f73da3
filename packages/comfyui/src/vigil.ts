import { ComfyError, type ComfyErrorCode, isComfyError } from "./errors.ts";
import type { Found, NodeStarted } from "./face.ts";

/** What the answers so far amount to. Times are readings of one clock, in ms. */
export interface Vigil {
  readonly unknownInRow: number;
  readonly trouble: { readonly sinceMs: number; readonly error: ComfyError } | undefined;
  /** Where the prompt was last seen; a change of it is a sign of life. */
  readonly place: string;
  readonly movedAtMs: number;
  /** Answers since a frame said that the prompt is over. */
  readonly asksSinceEnd: number;
}

/** One answer of the server: where the prompt is, or why it could not be asked. */
export type Reply = Found | { readonly kind: "trouble"; readonly error: ComfyError };

/** How things stand when a reply has come. */
export interface Circumstances {
  readonly nowMs: number;
  readonly promptId: string;
  readonly heardAtMs: number;
  readonly hasEnded: boolean;
  /** No frame of this prompt can reach us now, so silence proves little. */
  readonly isDeaf: boolean;
  /** What it was last heard to work at. */
  readonly stuckNode: NodeStarted | undefined;
  readonly stallMs: number;
  readonly pollMs: number;
  readonly unreachableMs: number;
}

/** Ask again, or stop waiting. */
export type Step =
  | { readonly kind: "ask"; readonly afterMs: number }
  | { readonly kind: "give_up"; readonly error: ComfyError };

const DEAF_PATIENCE = 4;
/** A busy server has the prompt in hand: its HTTP loop starves while models load (§3.1). */
const BUSY_PATIENCE = 5;
const SECOND_LOOK_MS = 250;
const FIRST_LOOK_AFTER_END_MS = 25;

/** The beginning: nothing is known, and the silence starts now. */
export function startVigil(nowMs: number): Vigil {
  return { unknownInRow: 0, trouble: undefined, place: "", movedAtMs: nowMs, asksSinceEnd: 0 };
}

/** Takes in one reply. */
export function applyReply(vigil: Vigil, reply: Reply, { nowMs, hasEnded }: Circumstances): Vigil {
  const asksSinceEnd = hasEnded ? vigil.asksSinceEnd + 1 : 0;
  if (reply.kind === "trouble") {
    return { ...vigil, asksSinceEnd, trouble: { sinceMs: vigil.trouble?.sinceMs ?? nowMs, error: reply.error } };
  }
  const place = reply.kind === "pending" ? `pending ${reply.ahead}` : reply.kind;
  // Nothing was heard while the server could not be asked; that silence was not the prompt's.
  const hasMoved = place !== vigil.place || vigil.trouble !== undefined;
  const unknownInRow = reply.kind === "unknown" ? vigil.unknownInRow + 1 : 0;
  return { unknownInRow, trouble: undefined, place, movedAtMs: hasMoved ? nowMs : vigil.movedAtMs, asksSinceEnd };
}

/** What to do after a reply that was not the end. */
export function nextStep(vigil: Vigil, now: Circumstances): Step {
  if (vigil.trouble) return stepInTrouble(vigil.trouble, now);
  if (vigil.unknownInRow > 1)
    return giveUp("prompt_lost", now, "is in neither queue nor history; ComfyUI was restarted, or somebody deleted it");
  if (vigil.unknownInRow === 1) return { kind: "ask", afterMs: Math.min(now.pollMs, SECOND_LOOK_MS) };
  const silenceMs = now.nowMs - Math.max(now.heardAtMs, vigil.movedAtMs);
  const patienceMs = now.stallMs > 0 ? now.stallMs * (now.isDeaf ? DEAF_PATIENCE : 1) : Number.POSITIVE_INFINITY;
  if (silenceMs >= patienceMs) {
    return giveUp(
      "stalled",
      now,
      `showed no sign of life for ${Math.round(silenceMs)} ms; cancel it, and restart ComfyUI if it does not let go`,
    );
  }
  const eager = FIRST_LOOK_AFTER_END_MS * 2 ** Math.min(vigil.asksSinceEnd, 10);
  return {
    kind: "ask",
    afterMs: Math.min(now.pollMs, patienceMs - silenceMs, now.hasEnded ? eager : Number.POSITIVE_INFINITY),
  };
}

function stepInTrouble({ sinceMs, error }: NonNullable<Vigil["trouble"]>, now: Circumstances): Step {
  const limitMs = now.unreachableMs * (error.code === "busy" ? BUSY_PATIENCE : 1);
  const leftMs = limitMs - (now.nowMs - sinceMs);
  if (leftMs <= 0) return { kind: "give_up", error };
  const wantedMs = Math.max(now.pollMs, (error.facts.retryAfterSeconds ?? 0) * 1_000);
  return { kind: "ask", afterMs: Math.min(wantedMs, leftMs) };
}

function giveUp(code: ComfyErrorCode, { promptId, stuckNode }: Circumstances, what: string): Step {
  const facts = { promptId, ...(stuckNode && code === "stalled" ? { stuckNode } : {}) };
  return { kind: "give_up", error: new ComfyError(code, `Prompt ${promptId} ${what}.`, { facts }) };
}

/** Troubles that may pass while the prompt runs on. */
export function isPassing(error: unknown): error is ComfyError {
  return isComfyError(error, "unreachable", "busy", "rate_limited", "protocol", "not_found");
}
