import { z } from "zod";

/**
 * Payloads that travel both as frames and as `messages` of a history entry (execution.py add_message).
 * `timestamp` is in ms (Unix) and missing from the error of an execution blocker (§2.6).
 */
const timestamp = z.number().optional();

/** The prompt was taken from the queue. */
export const ExecutionStart = z.looseObject({ prompt_id: z.string(), timestamp });
export type ExecutionStart = z.infer<typeof ExecutionStart>;

/** Sent for every prompt; `nodes` is mostly empty, so its presence does not mean "cached". */
export const ExecutionCached = z.looseObject({ nodes: z.array(z.string()), prompt_id: z.string(), timestamp });
export type ExecutionCached = z.infer<typeof ExecutionCached>;

/** Sent before history is written (§2.6). */
export const ExecutionSuccess = z.looseObject({ prompt_id: z.string(), timestamp });
export type ExecutionSuccess = z.infer<typeof ExecutionSuccess>;

/** `current_inputs` can hold customers' secrets: never log it. It is `[]` for blockers and cycles. */
export const ExecutionError = z.looseObject({
  prompt_id: z.string(),
  node_id: z.string(),
  node_type: z.string(),
  executed: z.array(z.string()),
  exception_message: z.string(),
  /** A Python class path, such as `torch.OutOfMemoryError`. */
  exception_type: z.string(),
  traceback: z.array(z.string()),
  current_inputs: z.union([z.record(z.string(), z.unknown()), z.array(z.unknown())]).optional(),
  current_outputs: z.array(z.string()).optional(),
  timestamp,
});
export type ExecutionError = z.infer<typeof ExecutionError>;

/** Names the node that was running, or the next one about to run (§3.6). */
export const ExecutionInterrupted = z.looseObject({
  prompt_id: z.string(),
  node_id: z.string(),
  node_type: z.string(),
  executed: z.array(z.string()),
  timestamp,
});
export type ExecutionInterrupted = z.infer<typeof ExecutionInterrupted>;
