import { ComfyError, type ComfyErrorCode, isComfyError } from "./errors.ts";
import type { Found, NodeStarted } from "./face.ts";

/** What the answers so far amount to. Times are readings of one clock, in ms. */
export interface Vigil {
  /** How often in a row nobody knew the prompt, and when it was last so. */
  readonly unknown: { readonly times: number; readonly atMs: number } | undefined;
  readonly trouble: { readonly sinceMs: number; readonly error: ComfyError } | undefined;
  /** Where the prompt was last seen; a change of it is a sign of life. */
  readonly place: string;
  readonly silence: Silence;
  /** Answers since a frame said that the prompt is over. */
  readonly asksSinceEnd: number;
}

/** The time without a sign of life. */
interface Silence {
  readonly sinceMs: number;
  /** By how much `sinceMs` was moved because the server could not be asked. */
  readonly forgivenMs: number;
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
  /** It waits in a queue that others fill too, in their turn: to wait there is no silence. */
  readonly sharesQueue: boolean;
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
  const silence = { sinceMs: nowMs, forgivenMs: 0 };
  return { unknown: undefined, trouble: undefined, place: "", silence, asksSinceEnd: 0 };
}

/** Takes in one reply. */
export function applyReply(vigil: Vigil, reply: Reply, now: Circumstances): Vigil {
  const { nowMs, heardAtMs } = now;
  const asksSinceEnd = now.hasEnded ? vigil.asksSinceEnd + 1 : 0;
  if (reply.kind === "trouble") {
    return { ...vigil, asksSinceEnd, trouble: { sinceMs: vigil.trouble?.sinceMs ?? nowMs, error: reply.error } };
  }
  const place = placeOf(reply) ?? vigil.place;
  const isMoved = place !== vigil.place || (reply.kind === "pending" && now.sharesQueue);
  const silence = isMoved ? { sinceMs: nowMs, forgivenMs: 0 } : silenceSoFar(vigil, now);
  // A prompt of which frames came meanwhile was not gone the last time.
  const wasUnknown = vigil.unknown && vigil.unknown.atMs >= heardAtMs ? vigil.unknown.times : 0;
  const unknown = reply.kind === "unknown" ? { times: wasUnknown + 1, atMs: nowMs } : undefined;
  return { unknown, trouble: undefined, place, silence, asksSinceEnd };
}

/** To be nowhere is no place: a prompt that comes and goes (two servers behind one address) shows no life by that. */
function placeOf(found: Found): string | undefined {
  if (found.kind === "unknown") return undefined;
  return found.kind === "pending" ? `pending ${found.ahead}` : found.kind;
}

/**
 * A frame ends the silence. Nothing could be heard while the server could not be asked, so that silence was not the
 * prompt's; but what is forgiven has a limit, or a server that fails at every other question would be asked for ever.
 */
function silenceSoFar({ silence, trouble }: Vigil, { nowMs, heardAtMs, unreachableMs }: Circumstances): Silence {
  const heard = heardAtMs > silence.sinceMs ? { sinceMs: heardAtMs, forgivenMs: 0 } : silence;
  if (!trouble) return heard;
  const awayMs = nowMs - Math.max(trouble.sinceMs, heard.sinceMs);
  const forgivenMs = Math.min(heard.forgivenMs + awayMs, unreachableMs * BUSY_PATIENCE);
  return { sinceMs: heard.sinceMs + forgivenMs - heard.forgivenMs, forgivenMs };
}

/** What to do after a reply that was not the end. */
export function nextStep(vigil: Vigil, now: Circumstances): Step {
  if (vigil.trouble) return stepInTrouble(vigil.trouble, now);
  if (vigil.unknown && vigil.unknown.times > 1)
    return giveUp("prompt_lost", now, "is in neither queue nor history; ComfyUI was restarted, or somebody deleted it");
  if (vigil.unknown) return { kind: "ask", afterMs: Math.min(now.pollMs, SECOND_LOOK_MS) };
  const silenceMs = now.nowMs - Math.max(now.heardAtMs, vigil.silence.sinceMs);
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
  // Who is heard is alive, whatever stands in the way of our questions.
  const leftMs = limitMs - (now.nowMs - Math.max(sinceMs, now.heardAtMs));
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
