import { z } from "zod";

const Fields = z.record(z.string(), z.unknown());

/** One node's outputs: UI key → whatever the node returned, nearly always a list. */
export const NodeOutput = Fields;
export type NodeOutput = z.infer<typeof NodeOutput>;

/** `["execution_start", {…}]`, in the order in which they happened. */
export const HistoryMessage = z.tuple([z.string(), Fields]).rest(z.unknown());
export type HistoryMessage = z.infer<typeof HistoryMessage>;

/** Do not decide by `completed` alone: see reference/comfyui-protocol.md §3.2. */
export const HistoryStatus = z.looseObject({
  status_str: z.string(),
  completed: z.boolean().optional(),
  messages: z.array(HistoryMessage).default([]),
});
export type HistoryStatus = z.infer<typeof HistoryStatus>;

/** `[number, id, graph, extraData, outputsToExecute]`, secrets removed; the graph as coerced by validation. */
export const HistoryPrompt = z.tuple([z.number(), z.string(), Fields, Fields, z.array(z.string())]).rest(z.unknown());
export type HistoryPrompt = z.infer<typeof HistoryPrompt>;

/** Comfy Cloud's form of the same (§6.1). */
export const CloudHistoryPrompt = z.looseObject({ priority: z.number().optional(), prompt_id: z.string().optional() });
export type CloudHistoryPrompt = z.infer<typeof CloudHistoryPrompt>;

/** Where a node's output belongs when nodes were expanded: `display_node` is what the customer submitted. */
export const NodeMeta = z.looseObject({
  node_id: z.string(),
  display_node: z.string(),
  parent_node: z.string().nullable(),
  real_node_id: z.string(),
});
export type NodeMeta = z.infer<typeof NodeMeta>;

/** One finished prompt (execution.py task_done). */
export const HistoryEntry = z.looseObject({
  prompt: z.union([HistoryPrompt, CloudHistoryPrompt]).optional(),
  outputs: z.record(z.string(), NodeOutput.nullable()).default({}),
  status: HistoryStatus.nullable().optional(),
  meta: z.record(z.string(), NodeMeta).optional(),
});
export type HistoryEntry = z.infer<typeof HistoryEntry>;

/** `GET /history` and `GET /history/{id}`: `{}` for unknown, pending and running ids alike. */
export const HistoryAnswer = z.record(z.string(), HistoryEntry);
export type HistoryAnswer = z.infer<typeof HistoryAnswer>;

/** Comfy Cloud's `GET /api/history_v2`, newest first; entries without their graphs (§6.1). */
export const CloudHistoryList = z.looseObject({
  history: z.array(
    z.looseObject({ prompt_id: z.string(), prompt: z.looseObject({ extra_data: Fields.optional() }).optional() }),
  ),
});
export type CloudHistoryList = z.infer<typeof CloudHistoryList>;
