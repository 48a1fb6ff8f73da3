import { z } from "zod";

/**
 * One node of a graph in API format. A link is `[nodeId, slot]`; a literal list is wrapped as `{"__value__": […]}`.
 * Older servers add `is_changed` to stored nodes (execution.py IsChangedCache), so unknown keys are kept.
 */
export const WorkflowNode = z.looseObject({
  class_type: z.string(),
  inputs: z.record(z.string(), z.unknown()).optional(),
  _meta: z.looseObject({ title: z.string().optional() }).optional(),
});
export type WorkflowNode = z.infer<typeof WorkflowNode>;

/** A graph in API format, keyed by node id (reference/comfyui-protocol.md §1.1). */
export const Workflow = z.record(z.string(), WorkflowNode);
export type Workflow = z.infer<typeof Workflow>;
