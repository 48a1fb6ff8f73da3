import type { ZodType } from "zod";
import { ComfyError, type ComfyErrorCode, type NodeFailure } from "./errors.ts";
import {
  ExecutionCached,
  ExecutionError,
  ExecutionInterrupted,
  type HistoryEntry,
  HistoryPrompt,
} from "./wire/index.ts";

/** How a finished prompt ended. */
export type Verdict = { readonly kind: "success" } | { readonly kind: "failed"; readonly error: ComfyError };

/**
 * Reads a history entry: interrupted, failed or succeeded (reference/comfyui-protocol.md §3.2). An `execution_error`
 * message outweighs `status_str`, which may still say `success` after a dynamic cycle (§3.5); the error of an execution
 * blocker is only ever a frame, so it does not get here.
 */
export function judge(promptId: string, entry: HistoryEntry): Verdict {
  const interrupted = messageOf(entry, "execution_interrupted", ExecutionInterrupted);
  if (interrupted) return failed("interrupted", promptId, { at: interrupted });
  const error = messageOf(entry, "execution_error", ExecutionError);
  if (error) return failed(classify(error), promptId, { at: error, failure: failureOf(error) });
  const status = entry.status?.status_str ?? "success"; // servers of 2023 kept no status at all
  return status === "success" ? { kind: "success" } : failed("node_failed", promptId, {});
}

/** Did the cache hold everything that this prompt had to produce? Its files may then be those of an earlier prompt. */
export function isFullyCached(entry: HistoryEntry): boolean {
  const cached = messageOf(entry, "execution_cached", ExecutionCached)?.nodes ?? [];
  const outputs = HistoryPrompt.safeParse(entry.prompt).data?.[4] ?? [];
  return outputs.length > 0 && outputs.every((id) => cached.includes(id));
}

function messageOf<T>(entry: HistoryEntry, type: string, schema: ZodType<T>): T | undefined {
  const message = entry.status?.messages.findLast(([name]) => name === type);
  return message ? schema.safeParse(message[1]).data : undefined;
}

interface Ending {
  readonly at?: { readonly node_id: string; readonly node_type: string };
  readonly failure?: NodeFailure;
}

function failed(code: ComfyErrorCode, promptId: string, { at, failure }: Ending): Verdict {
  const place = at ? ` at node ${at.node_id} (${at.node_type})` : "";
  const why = failure ? `: ${failure.exception_type}: ${failure.exception_message.trim()}` : "";
  const message = `Prompt ${promptId} ${MEANING[code] ?? "failed"}${place}${why}`;
  return {
    kind: "failed",
    error: new ComfyError(code, message, { facts: { promptId, ...(failure ? { failure } : {}) } }),
  };
}

const MEANING: Partial<Record<ComfyErrorCode, string>> = {
  interrupted: "was interrupted",
  out_of_memory: "ran out of GPU memory",
  cuda_fault: "broke the GPU context (restart ComfyUI)",
  disk_full: "found ComfyUI's disk full",
  payment_required: "needs credits",
  rate_limited: "was turned away by a partner service",
  unauthorized: "lacks a valid login to a partner service",
};

/** `current_inputs` stays behind: it can hold secrets. */
function failureOf(error: ExecutionError): NodeFailure {
  const { node_id, node_type, exception_type, exception_message, traceback } = error;
  return { node_id, class_type: node_type, exception_type, exception_message, traceback };
}

interface Rule {
  readonly code: ComfyErrorCode;
  readonly type?: RegExp;
  readonly message?: RegExp;
}

/** First match wins; a rule matches by type or by message (§3.5, §6.1). */
const RULES: readonly Rule[] = [
  {
    code: "out_of_memory",
    type: /(OutOfMemoryError|OOMError)$/,
    message: /ran out of memory on your GPU|CUDA error: out of memory/,
  },
  { code: "cuda_fault", type: /AcceleratorError$/, message: /^(CUDA|HIP) error:/ },
  { code: "disk_full", message: /\[Errno 28\]|No space left on device/ },
  // A partner node that is cancelled raises an exception of its own.
  { code: "interrupted", type: /ProcessingInterrupted$/ },
  {
    code: "payment_required",
    type: /^(InsufficientFundsError|InactiveSubscriptionError)$/,
    message: /^Payment Required:/,
  },
  { code: "unauthorized", message: /^Unauthorized: Please login first/ },
  { code: "rate_limited", message: /^Rate Limit Exceeded/ },
];

function classify({ exception_type, exception_message }: ExecutionError): ComfyErrorCode {
  const rule = RULES.find(({ type, message }) => type?.test(exception_type) || message?.test(exception_message));
  return rule?.code ?? "node_failed";
}
