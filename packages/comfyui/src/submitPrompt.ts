import { sleep } from "./clock.ts";
import { ComfyError, isComfyError } from "./errors.ts";
import type { ComfyEvent, Found, Submission, Submitted } from "./face.ts";
import { type Answer, errorOfStatus, type Http, isNeverSent } from "./http.ts";
import { refusalOf, refusalType } from "./refusal.ts";
import { HistoryPrompt, PATHS, PromptAccepted, type PromptRequest, parseJson } from "./wire/index.ts";

/** What a submission needs of the client. */
export interface SubmitNeeds {
  readonly http: Http;
  readonly clientId: string;
  readonly lookUp: (promptId: string, signal: AbortSignal) => Promise<Found>;
  /** This server gives prompts ids of its own, so ours cannot be looked up. */
  readonly mintsIds: boolean;
  readonly report: (event: ComfyEvent) => void;
  readonly submitTimeoutMs: number;
}

/** When to look for a prompt whose answer was lost: the server may still be working on the request. */
const LOOKS_AFTER_MS = [0, 250, 500, 1_000, 2_000];
/** After a 500 the server has finished with it, one way or the other. */
const LOOKS_AFTER_500_MS = [0, 250];

/**
 * Sends `POST /prompt` once. A 500 or a lost connection proves nothing (§1.1: 0.33 answers 500 to a prompt that it has
 * queued), so then queue and history decide.
 * @throws ComfyError as listed in `ComfyUi.submit`
 */
export async function submitPrompt(submission: Submission, needs: SubmitNeeds): Promise<Submitted> {
  const { promptId } = submission;
  let answer: Answer;
  try {
    const json = bodyOf(submission, needs.clientId);
    const { signal } = submission;
    answer = await needs.http.send({
      method: "POST",
      path: PATHS.prompt,
      json,
      signal,
      timeoutMs: needs.submitTimeoutMs,
    });
  } catch (error) {
    if (!isComfyError(error, "unreachable", "busy", "protocol") || isNeverSent(error)) throw error;
    return resolveOutcome(submission, error, needs);
  }
  if (answer.status === 200) return accepted(promptId, answer.text, needs);
  const error = toError(promptId, answer);
  if (answer.status < 500) throw error;
  return resolveOutcome(submission, error, needs);
}

function bodyOf(submission: Submission, clientId: string): PromptRequest {
  const { workflow, promptId, extraData, frontOf, onlyOutputs } = submission;
  return {
    prompt: workflow,
    prompt_id: promptId,
    client_id: clientId,
    ...(extraData === undefined ? {} : { extra_data: extraData }),
    // Smaller runs first; halves are allowed, and keep us behind whatever runs before that item (§1.1).
    ...(frontOf === undefined ? {} : frontOf === "all" ? { front: true } : { number: frontOf - 0.5 }),
    ...(onlyOutputs === undefined ? {} : { partial_execution_targets: [...onlyOutputs] }),
  };
}

function accepted(promptId: string, text: string, { report }: SubmitNeeds): Submitted {
  let body: PromptAccepted;
  try {
    body = PromptAccepted.parse(parseJson(text));
  } catch (cause) {
    const message = "POST /prompt was answered with 200 but not as ComfyUI does; is it ComfyUI?";
    throw new ComfyError("protocol", message, { cause, facts: { promptId } });
  }
  if (body.prompt_id !== promptId) report({ type: "prompt_id_replaced", promptId, serverPromptId: body.prompt_id });
  return { promptId: body.prompt_id, number: body.number, nodeErrors: body.node_errors };
}

/** Comfy Cloud says with 429 both "come back later" and "pay first" (§6.1). */
const UNPAID = new Set([
  "PAYMENT_REQUIRED",
  "FREE_TIER_UNAVAILABLE",
  "FREE_TIER_EXHAUSTED",
  "PARTNER_NODE_PAYMENT_REQUIRED",
]);

function toError(promptId: string, answer: Answer): ComfyError {
  const type = answer.status < 500 ? refusalType(answer.text) : "";
  if (answer.status === 400 || type === "PARTNER_NODE_DISABLED") return refusalOf(promptId, answer.status, answer.text);
  const plain = errorOfStatus(answer, `POST /prompt of ${promptId}`);
  const facts = { ...plain.facts, promptId, ...(type ? { refusal: type } : {}) };
  return new ComfyError(UNPAID.has(type) ? "payment_required" : plain.code, plain.message, { facts });
}

async function resolveOutcome(submission: Submission, cause: ComfyError, needs: SubmitNeeds): Promise<Submitted> {
  const { promptId } = submission;
  const signal = AbortSignal.any([needs.http.closed, ...(submission.signal ? [submission.signal] : [])]);
  let lastFailure: unknown;
  for (const afterMs of cause.facts.httpStatus === 500 ? LOOKS_AFTER_500_MS : LOOKS_AFTER_MS) {
    await sleep(afterMs, signal);
    try {
      const found = await needs.lookUp(promptId, signal);
      lastFailure = undefined;
      if (found.kind === "unknown") continue;
      needs.report({ type: "submission_resolved", promptId, found: found.kind });
      return { promptId, number: numberOf(found), nodeErrors: {} };
    } catch (error) {
      if (!isComfyError(error)) throw error;
      lastFailure = error;
    }
  }
  throw unresolved(promptId, lastFailure === undefined && !needs.mintsIds, lastFailure ?? cause, cause);
}

function unresolved(promptId: string, confirmedAbsent: boolean, last: unknown, cause: ComfyError): ComfyError {
  const httpStatus = cause.facts.httpStatus === undefined ? {} : { httpStatus: cause.facts.httpStatus };
  const facts = { promptId, ...httpStatus, confirmedAbsent };
  if (last !== cause) {
    const message = `Prompt ${promptId} was sent, but the answer was lost and ComfyUI cannot be asked; look it up before submitting again.`;
    return new ComfyError("unreachable", message, { cause: last, facts });
  }
  const what = confirmedAbsent ? "ComfyUI does not know it" : "this server gives ids of its own";
  const message = `Prompt ${promptId} was sent, but the answer was lost (${cause.message}) and ${what}; look it up before submitting again.`;
  return new ComfyError("unknown_outcome", message, { cause, facts });
}

function numberOf(found: Found): number {
  if (found.kind === "finished") return HistoryPrompt.safeParse(found.entry.prompt).data?.[0] ?? 0;
  return "item" in found ? (found.item?.number ?? 0) : 0;
}
