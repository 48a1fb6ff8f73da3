import type { Client } from "./client.ts";
import { nowMs, sleep } from "./clock.ts";
import { droppedOutputs } from "./droppedOutputs.ts";
import { ComfyError, isComfyError } from "./errors.ts";
import type { Found, Submission, Submitted } from "./face.ts";
import { HistoryPrompt } from "./wire/index.ts";

/** When to look for a prompt whose answer was lost: the server may still be working on the request. */
const LOOKS_AFTER_MS = [0, 250, 500, 1_000, 2_000];
/** After a 500 the server has finished with it, one way or the other. */
const LOOKS_AFTER_500_MS = [0, 250];

/**
 * Finds out whether a prompt whose answer was lost exists, by looking for its id; it is not sent again. No look begins
 * later than `unreachableMs` after the first one.
 * @throws ComfyError `unknown_outcome` when no look found it, `rate_limited` when the server also said when to come back (a full
 * queue), `unreachable` when the last look failed
 */
export async function resolveOutcome(submission: Submission, cause: ComfyError, client: Client): Promise<Submitted> {
  const { promptId } = submission;
  const signal = AbortSignal.any([client.http.closed, ...(submission.signal ? [submission.signal] : [])]);
  const startedAtMs = nowMs();
  let lastFailure: unknown;
  for (const afterMs of cause.facts.httpStatus === 500 ? LOOKS_AFTER_500_MS : LOOKS_AFTER_MS) {
    if (nowMs() - startedAtMs > client.limits.unreachableMs) break;
    await sleep(afterMs, signal);
    try {
      const found = await client.lookUp(promptId, signal);
      lastFailure = undefined;
      if (found.kind === "unknown") continue;
      // The lost answer may have said that a part of the graph is refused.
      const nodeErrors = await droppedOutputs(found, { ...submission, signal }, client);
      client.report({ type: "submission_resolved", promptId, found: found.kind });
      return { promptId, number: numberOf(found), nodeErrors };
    } catch (error) {
      if (!isComfyError(error)) throw error;
      lastFailure = error;
    }
  }
  throw unresolved(promptId, lastFailure === undefined && !client.mintsIds, lastFailure ?? cause, cause);
}

function unresolved(promptId: string, confirmedAbsent: boolean, last: unknown, cause: ComfyError): ComfyError {
  const httpStatus = cause.facts.httpStatus === undefined ? {} : { httpStatus: cause.facts.httpStatus };
  const facts = { promptId, ...httpStatus, confirmedAbsent };
  if (last !== cause) {
    const message = `Prompt ${promptId} was sent, but the answer was lost and ComfyUI cannot be asked; look it up before submitting again.`;
    return new ComfyError("unreachable", message, { cause: last, facts });
  }
  const what = confirmedAbsent ? "ComfyUI does not know it" : "this server gives ids of its own";
  const { retryAfterSeconds } = cause.facts;
  if (retryAfterSeconds !== undefined) {
    const message = `Prompt ${promptId} was not taken (${cause.facts.httpStatus}): the server asks to wait for ${retryAfterSeconds} s, and ${what}.`;
    return new ComfyError("rate_limited", message, { cause, facts: { ...facts, retryAfterSeconds } });
  }
  const message = `Prompt ${promptId} was sent, but the answer was lost (${cause.message}) and ${what}; look it up before submitting again.`;
  return new ComfyError("unknown_outcome", message, { cause, facts });
}

function numberOf(found: Found): number {
  if (found.kind === "finished") return HistoryPrompt.safeParse(found.entry.prompt).data?.[0] ?? 0;
  return "item" in found ? (found.item?.number ?? 0) : 0;
}
