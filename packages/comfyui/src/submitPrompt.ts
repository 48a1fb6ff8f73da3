import { type Client, expectStatus } from "./client.ts";
import { ComfyError, isComfyError } from "./errors.ts";
import type { Submission, Submitted } from "./face.ts";
import { type Answer, errorOfStatus, isNeverSent } from "./http.ts";
import { refusalOf, refusalType } from "./refusal.ts";
import { resolveOutcome } from "./resolveOutcome.ts";
import { PATHS, PromptAccepted, type PromptRequest, parseJson } from "./wire/index.ts";

/** How long a submission waits for the socket, to hear its prompt from the start. */
const SOCKET_PATIENCE_MS = 1_000;

/**
 * Sends `POST /prompt` once. A 500 or a lost connection proves nothing (§1.1: 0.33 answers 500 to a prompt that it has
 * queued), so then queue and history decide.
 * @throws ComfyError as listed in `ComfyUi.submit`
 */
export async function submitPrompt(submission: Submission, client: Client): Promise<Submitted> {
  const { http, router, socket } = client;
  const signal = AbortSignal.any([http.closed, ...(submission.signal ? [submission.signal] : [])]);
  await socket.settled(SOCKET_PATIENCE_MS, signal);
  const statusesBefore = router.statusCount;
  const submitted = await post(submission, client);
  client.noteId(submitted.promptId === submission.promptId);
  expectStatus(client, statusesBefore);
  return submitted;
}

async function post(submission: Submission, client: Client): Promise<Submitted> {
  const { promptId, signal } = submission;
  let answer: Answer;
  try {
    const json = bodyOf(submission, client.socket.clientId);
    const timeoutMs = client.limits.submitTimeoutMs;
    answer = await client.http.send({ method: "POST", path: PATHS.prompt, json, signal, timeoutMs });
  } catch (error) {
    if (!isComfyError(error, "unreachable", "busy", "protocol") || isNeverSent(error)) throw error;
    return resolveOutcome(submission, error, client);
  }
  if (answer.status === 200) return accepted(promptId, answer.text, client);
  const error = toError(promptId, answer);
  if (answer.status < 500) throw error;
  return resolveOutcome(submission, error, client);
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

function accepted(promptId: string, text: string, { report }: Client): Submitted {
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
