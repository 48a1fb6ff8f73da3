import type { NodeErrors } from "./wire/index.ts";

/**
 * What can go wrong between us and ComfyUI, by what it means for the prompt (reference/comfyui-protocol.md §3.5).
 *
 * About the server: `unreachable` (refused, reset, unknown host), `busy` (it took the connection but did not answer in
 * time; its HTTP loop shares a process with the model), `unauthorized`, `payment_required`, `rate_limited`, `protocol`
 * (an answer that ComfyUI would not give), `closed` (this client was closed).
 * About a submission: `rejected` (400: same graph, same answer on this server), `payload_too_large`,
 * `unknown_outcome` (sent, unanswered, and not found: look again before submitting again).
 * About a prompt: `node_failed`, `out_of_memory`, `cuda_fault` (the server should be restarted), `disk_full`, `interrupted`,
 * `prompt_lost` (in neither queue nor history, twice), `stalled` (silent for too long; perhaps a zombie server).
 * About a file: `not_found`, `unsafe_path` (refused here: the name would leave its folder).
 */
export type ComfyErrorCode =
  | "unreachable"
  | "busy"
  | "unauthorized"
  | "payment_required"
  | "rate_limited"
  | "protocol"
  | "closed"
  | "rejected"
  | "payload_too_large"
  | "unknown_outcome"
  | "node_failed"
  | "out_of_memory"
  | "cuda_fault"
  | "disk_full"
  | "interrupted"
  | "prompt_lost"
  | "stalled"
  | "not_found"
  | "unsafe_path";

/** The node that ended a prompt. Inputs are left out on purpose: they can hold customers' secrets. */
export interface NodeFailure {
  readonly node_id: string;
  readonly class_type: string;
  /** A Python class path, such as `torch.OutOfMemoryError`. */
  readonly exception_type: string;
  readonly exception_message: string;
  readonly traceback: readonly string[];
}

/** Something this server lacks and another may have: route the job there, or install it. */
export interface MissingResource {
  /** `model`: a file name that is in no list of this server. `file`: an input file. */
  readonly kind: "node_class" | "model" | "file";
  readonly node_id?: string;
  readonly class_type?: string;
  readonly input_name?: string;
  /** The name that was not found. */
  readonly name: string;
}

/** What is known about an error beyond its message; everything here may be shown to the owner of the prompt. */
export interface ComfyErrorFacts {
  readonly promptId?: string;
  readonly httpStatus?: number;
  /** `error.type` of a refused prompt, such as `prompt_outputs_failed_validation`. */
  readonly refusal?: string;
  /** Of a refused prompt, or of the outputs dropped from an accepted one. */
  readonly nodeErrors?: NodeErrors;
  /** For `rejected`: filled when each fault is something that another server may have. */
  readonly missing?: readonly MissingResource[];
  readonly failure?: NodeFailure;
  /** For `stalled`: the node it was last heard to work at. */
  readonly stuckNode?: { readonly node_id: string; readonly class_type?: string };
  /** For `unknown_outcome`: the server was asked and knew neither a queued nor a finished prompt of this id. */
  readonly confirmedAbsent?: boolean;
  /** Seconds to wait, when the server said so. */
  readonly retryAfterSeconds?: number;
}

/** The one error of this package. Compare `code`. */
export class ComfyError extends Error {
  override readonly name = "ComfyError";
  readonly code: ComfyErrorCode;
  readonly facts: ComfyErrorFacts;

  constructor(code: ComfyErrorCode, message: string, options: { cause?: unknown; facts?: ComfyErrorFacts } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
  }
}

/** Is this an error of this package, with one of these codes (or any, when none is named)? */
export function isComfyError(error: unknown, ...codes: readonly ComfyErrorCode[]): error is ComfyError {
  return error instanceof ComfyError && (codes.length === 0 || codes.includes(error.code));
}
