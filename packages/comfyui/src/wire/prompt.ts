import { z } from "zod";

/**
 * Body of `POST /prompt` (server.py post_prompt). `prompt` is left unparsed on purpose: the server, and only the
 * server, says what is wrong with a graph.
 */
export const PromptRequest = z.looseObject({
  prompt: z.unknown().optional(),
  client_id: z.string().nullable().optional(),
  /** Newer than 0.24.0: a canonical lowercase UUID, else 400 `invalid_prompt_id`. */
  prompt_id: z.unknown().optional(),
  extra_data: z.unknown().optional(),
  /** Priority; smaller runs first. */
  number: z.unknown().optional(),
  front: z.unknown().optional(),
  partial_execution_targets: z.array(z.string()).nullable().optional(),
});
export type PromptRequest = z.infer<typeof PromptRequest>;

/** One thing wrong with one node, or (at the top of a refusal) with the whole prompt. */
export const PromptFault = z.looseObject({
  type: z.string(),
  message: z.string(),
  details: z.string(),
  extra_info: z.record(z.string(), z.unknown()),
});
export type PromptFault = z.infer<typeof PromptFault>;

/** What is wrong with one node, and which output nodes are dropped because of it. */
export const NodeError = z.looseObject({
  errors: z.array(PromptFault),
  dependent_outputs: z.array(z.string()),
  class_type: z.string(),
});
export type NodeError = z.infer<typeof NodeError>;

/** Keyed by node id. Nodes that are invalid only because of an ancestor are not listed. */
export const NodeErrors = z.record(z.string(), NodeError);
export type NodeErrors = z.infer<typeof NodeErrors>;

/** The 200 of `POST /prompt`. `node_errors` may be filled: invalid outputs are dropped when another one is valid. */
export const PromptAccepted = z.looseObject({
  prompt_id: z.string(),
  number: z.number(),
  node_errors: NodeErrors.default({}),
});
export type PromptAccepted = z.infer<typeof PromptAccepted>;

/** The 400 of `POST /prompt`. Very old servers answered with a plain string as `error`. */
export const PromptRefused = z.looseObject({
  error: z.union([PromptFault, z.string()]),
  node_errors: z.union([NodeErrors, z.array(z.unknown())]).optional(),
});
export type PromptRefused = z.infer<typeof PromptRefused>;

/** `GET /prompt`: how many prompts are pending or running. The cheapest sign of life. */
export const ExecInfoAnswer = z.looseObject({ exec_info: z.looseObject({ queue_remaining: z.number() }) });
export type ExecInfoAnswer = z.infer<typeof ExecInfoAnswer>;
