/** Moments in a prompt's life at which a fault can strike; `connected` is a websocket's. */
export const STAGES = [
  "connected",
  "queued",
  "execution_start",
  "execution_cached",
  "executing",
  "progress",
  "executed",
  "execution_success",
  "execution_error",
  "execution_interrupted",
  "done",
] as const;
export type Stage = (typeof STAGES)[number];

/** Faults that strike when a prompt reaches a stage. */
export const STAGED_FAULTS = [
  "ws_drop",
  "ws_silent",
  "ws_mute",
  "frames_stop",
  "zombie",
  "crash",
  "restart",
  "interrupt",
  "history_evict",
] as const;

/** Faults that strike a request to a path. */
export const HTTP_FAULTS = ["http_hang", "http_500", "http_reset", "http_slow", "http_cut", "http_stall"] as const;

/** Faults that strike when their occasion comes, once unless `times` says more. */
const OCCASIONAL_FAULTS = [
  "ws_refuse",
  "ws_hang",
  "deaf",
  "disk_full",
  "oom_next",
  "cuda_next",
  "output_missing",
  "output_truncated",
  "upload_fail",
  "node_errors_200",
] as const;

/** Conditions: they hold until they are cleared, unless `times` says how often. */
export const LASTING_FAULTS = ["history_delay", "exec_slow", "validate_ms", "prompt_answer_late"] as const;

export const FAULT_KINDS = [...STAGED_FAULTS, ...HTTP_FAULTS, ...OCCASIONAL_FAULTS, ...LASTING_FAULTS] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/**
 * Something that shall go wrong. Which fields a kind reads stands in the README's table; the others are ignored.
 */
export interface Fault {
  readonly kind: FaultKind;
  /** Staged faults: when. */
  readonly at?: Stage;
  /** Staged faults: at which occurrence of the stage, counted from 1. */
  readonly after?: number;
  /** How often it strikes before it is used up. */
  readonly times?: number;
  /** Only this prompt. */
  readonly promptId?: string;
  /** Only nodes of this class (`executing`, `progress`, `executed`, `deaf`, `oom_next`, `cuda_next`). */
  readonly nodeClass?: string;
  /** HTTP faults: the path, without `/api`; `*` at the end stands for anything. */
  readonly path?: string;
  /** HTTP faults: the method; any when absent. */
  readonly method?: string;
  /** HTTP faults: before the server acts on the request, or after it has acted (`http_cut`, `http_stall`: always). */
  readonly when?: "before" | "after";
  /** `http_500`: another status. */
  readonly status?: number;
  /** `history_delay`, `validate_ms`, `prompt_answer_late`, `http_slow`, `deaf`: how long, in real ms. */
  readonly ms?: number;
  /** `exec_slow`: how many times slower. */
  readonly factor?: number;
  /** `restart`: how long the port is closed, in ms. */
  readonly downMs?: number;
}
