import * as z from "zod";

/**
 * What may be done about a failed attempt.
 * `never`: the same input gives the same answer. `here`: again on any instance, this one included. `elsewhere`: another
 * instance may differ. `backoff`: a neighbour (bucket, network, ComfyUI) was away; wait and try again.
 */
export type Retry = "never" | "here" | "elsewhere" | "backoff";
export type Blame = "customer" | "workflow" | "instance" | "platform";

export interface JobErrorPolicy {
  readonly retry: Retry;
  readonly blame: Blame;
  /** Does a failure with this code use up one of the customer's `max_attempts`? Infrastructure faults do not. */
  readonly counts: boolean;
  /** Does it make one doubt the instance? A few in a row quarantine it until a canary workflow has run there. */
  readonly sickens?: true;
  /** Tries again at most this often, however many attempts are left. */
  readonly retriesAtMost?: number;
}

/** The failure policy as data: what a code means, who is to blame, and whether another try can help. */
export const JOB_ERRORS = {
  workflow_rejected: { retry: "never", blame: "customer", counts: true }, // same graph, same answer
  node_failed: { retry: "never", blame: "workflow", counts: true }, // a Python exception in a node repeats
  // A cached prompt whose file is gone: rendered again with another prefix and an empty cache.
  output_missing: { retry: "here", blame: "workflow", counts: false, retriesAtMost: 2 },
  no_outputs: { retry: "never", blame: "workflow", counts: true },
  input_unavailable: { retry: "never", blame: "customer", counts: true }, // 404, refused address, wrong type
  input_too_large: { retry: "never", blame: "customer", counts: true },
  input_unreachable: { retry: "backoff", blame: "customer", counts: true }, // time-outs and 5xx of the source
  model_rejected: { retry: "never", blame: "customer", counts: true }, // not a model file, another sha256, name taken
  models_unavailable: { retry: "elsewhere", blame: "instance", counts: false }, // its worker has no models folder
  models_full: { retry: "elsewhere", blame: "instance", counts: false, retriesAtMost: 5 }, // no room on disk or in the budget
  model_missing: { retry: "elsewhere", blame: "instance", counts: false }, // value_not_in_list for a model file: this instance lacks it
  node_class_missing: { retry: "elsewhere", blame: "instance", counts: false },
  out_of_gpu_memory: { retry: "elsewhere", blame: "workflow", counts: true, retriesAtMost: 1 }, // another GPU may be larger or emptier
  // Its process is broken until it is restarted. A job that does it again and again is the one to blame.
  cuda_fault: { retry: "elsewhere", blame: "instance", counts: false, sickens: true, retriesAtMost: 2 },
  instance_disk_full: { retry: "elsewhere", blame: "instance", counts: false, sickens: true }, // ComfyUI could not save
  comfyui_unreachable: { retry: "backoff", blame: "instance", counts: false },
  // Its key, its account or its queue's limit: no job is to blame, and none is tried there until a canary has run.
  instance_refuses: { retry: "backoff", blame: "platform", counts: false, sickens: true },
  payment_required: { retry: "never", blame: "customer", counts: true }, // a partner's node: no credits, or no login
  rate_limited: { retry: "backoff", blame: "customer", counts: true }, // a partner's service turned its node away
  secrets_unreadable: { retry: "elsewhere", blame: "platform", counts: false }, // this worker has another key
  worker_unfit: { retry: "backoff", blame: "platform", counts: false }, // its own disk is full, say
  prompt_lost: { retry: "here", blame: "instance", counts: false, sickens: true }, // ComfyUI restarted and forgot it
  interrupted: { retry: "here", blame: "platform", counts: false }, // interrupted by somebody else
  stalled: { retry: "elsewhere", blame: "workflow", counts: true }, // the instance itself still runs a canary
  comfyui_zombie: { retry: "elsewhere", blame: "instance", counts: false, sickens: true, retriesAtMost: 2 }, // answers HTTP, runs nothing
  timeout: { retry: "never", blame: "workflow", counts: true }, // one attempt took longer than `timeout_s`
  output_push_failed: { retry: "backoff", blame: "platform", counts: false },
  poison: { retry: "never", blame: "workflow", counts: true }, // killed its worker or its ComfyUI twice
  canceled: { retry: "never", blame: "customer", counts: true },
  expired: { retry: "never", blame: "customer", counts: true },
  internal: { retry: "backoff", blame: "platform", counts: true },
} as const satisfies Record<string, JobErrorPolicy>;

export type JobErrorCode = keyof typeof JOB_ERRORS;
export const JobErrorCode = z.enum(Object.keys(JOB_ERRORS) as [JobErrorCode, ...JobErrorCode[]]); // keys of the table above

/** Why an attempt or a job failed, as the customer sees it. Never carries a graph, a URL's query or a secret. */
export const JobFailure = z
  .object({
    code: JobErrorCode,
    message: z.string().meta({ description: "What happened, to what, and what to do next" }),
    node_id: z.string().optional(),
    class_type: z.string().optional(),
    blame: z.enum(["customer", "workflow", "instance", "platform"]),
    retryable: z.boolean().meta({ description: "Could the same job succeed later?" }),
    details: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: "JobError" });
export type JobFailure = z.infer<typeof JobFailure>;

/** The row of the table, with what most rows leave out. */
export function policyOf(code: JobErrorCode): JobErrorPolicy {
  return JOB_ERRORS[code];
}

interface FailureFacts {
  readonly nodeId?: string | undefined;
  readonly classType?: string | undefined;
  readonly details?: Record<string, unknown> | undefined;
}

/** Builds the public failure from a code and what happened; blame and retryable come from the table. */
export function jobFailure(code: JobErrorCode, message: string, facts: FailureFacts = {}): JobFailure {
  const policy = JOB_ERRORS[code];
  return {
    code,
    message,
    blame: policy.blame,
    retryable: policy.retry !== "never",
    ...(facts.nodeId === undefined ? {} : { node_id: facts.nodeId }),
    ...(facts.classType === undefined ? {} : { class_type: facts.classType }),
    ...(facts.details === undefined ? {} : { details: facts.details }),
  };
}
