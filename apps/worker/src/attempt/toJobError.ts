import { ComfyError, type ComfyErrorCode } from "@comfyq/comfyui";
import { type JobErrorCode, type JobFailure, jobFailure } from "@comfyq/contract";
import { StorageError } from "@comfyq/storage";
import { JobError } from "../jobError.ts";

/** What ComfyUI's troubles mean for a job. `rejected` is looked at more closely below. */
const BY_COMFY_CODE: Readonly<Record<ComfyErrorCode, JobErrorCode>> = {
  unreachable: "comfyui_unreachable",
  busy: "comfyui_unreachable",
  unauthorized: "instance_refuses",
  payment_required: "instance_refuses",
  rate_limited: "instance_refuses",
  protocol: "comfyui_unreachable",
  closed: "comfyui_unreachable",
  unknown_outcome: "comfyui_unreachable",
  rejected: "workflow_rejected",
  payload_too_large: "workflow_rejected",
  node_failed: "node_failed",
  out_of_memory: "out_of_gpu_memory",
  cuda_fault: "cuda_fault",
  disk_full: "instance_disk_full",
  interrupted: "interrupted",
  prompt_lost: "prompt_lost",
  stalled: "stalled",
  not_found: "output_missing",
  unsafe_path: "node_failed",
};

/** Turns whatever an attempt threw into a failure that a customer can read. Never carries a traceback, input or URL query. */
export function toJobError(error: unknown): JobFailure {
  if (error instanceof JobError) return error.failure;
  if (error instanceof ComfyError) return fromComfyError(error);
  if (error instanceof StorageError) return jobFailure("output_push_failed", error.message);
  const message = error instanceof Error ? error.message : String(error);
  if (isOwnDisk(error))
    return jobFailure("worker_unfit", `The worker cannot write to its own disk (${message}); make room, or set TMPDIR`);
  return jobFailure("internal", `The worker failed unexpectedly (${message}); its log has the rest`);
}

/** What the system says of a disk that takes nothing: no fault of the job, and the next one would fail alike. */
function isOwnDisk(error: unknown): boolean {
  return error instanceof Error && "code" in error && DISK_CODES.includes(error.code);
}

const DISK_CODES: readonly unknown[] = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "ENFILE"];

function fromComfyError({ code, message, facts }: ComfyError): JobFailure {
  const node = facts.failure ?? facts.stuckNode;
  const details = facts.nodeErrors && { faults: plainFaults(facts.nodeErrors) };
  const nodeId = node?.node_id ?? Object.keys(facts.nodeErrors ?? {})[0];
  const classType = node?.class_type ?? (nodeId === undefined ? undefined : facts.nodeErrors?.[nodeId]?.class_type);
  const ours = code === "rejected" ? refusalCode(facts) : isOfPartner(facts) ? BY_PARTNER[code] : undefined;
  return jobFailure(ours ?? BY_COMFY_CODE[code], message, {
    nodeId,
    classType,
    details,
  });
}

/** A partner's node is paid and logged in to with the job's own key. */
const BY_PARTNER: Readonly<Partial<Record<ComfyErrorCode, JobErrorCode>>> = {
  unauthorized: "payment_required",
  payment_required: "payment_required",
  rate_limited: "rate_limited",
};

/** These stop a whole account of Comfy Cloud, in the middle of a render (protocol §6.1). */
const OF_ACCOUNT = ["InsufficientFundsError", "InactiveSubscriptionError"];

function isOfPartner({ failure, refusal }: ComfyError["facts"]): boolean {
  if (failure) return !OF_ACCOUNT.includes(failure.exception_type);
  return refusal === "PARTNER_NODE_PAYMENT_REQUIRED";
}

/** A refusal for something this instance lacks is the instance's fault, and another may have it. */
function refusalCode({ missing }: ComfyError["facts"]): JobErrorCode {
  if (!missing || missing.length === 0) return "workflow_rejected";
  if (missing.some(({ kind }) => kind === "node_class")) return "node_class_missing";
  return missing.every(({ kind }) => kind === "model") ? "model_missing" : "workflow_rejected";
}

interface PlainFault {
  readonly node_id: string;
  readonly type: string;
  readonly message: string;
}

/** ComfyUI's list without `input_config` and the like, which run to megabytes. */
export function plainFaults(nodeErrors: NonNullable<ComfyError["facts"]["nodeErrors"]>): PlainFault[] {
  return Object.entries(nodeErrors).flatMap(([node_id, { errors }]) =>
    errors.map(({ type, message, details }) => ({
      node_id,
      type,
      message: details === "" ? message : `${message}: ${details}`,
    })),
  );
}
