import * as z from "zod";

/**
 * A graph in ComfyUI's API format: `{ nodeId: { class_type, inputs, _meta? } }`. A link is `[nodeId, slot]`.
 * Source: reference/comfyui-protocol.md §1.1. Unknown keys of a node travel untouched.
 */
export const WorkflowNode = z.looseObject({
  class_type: z.string().min(1).max(256),
  inputs: z.record(z.string(), z.unknown()).default({}),
});
export type WorkflowNode = z.infer<typeof WorkflowNode>;

export const Workflow = z.record(z.string().max(128), WorkflowNode).meta({
  id: "Workflow",
  description: "A graph in ComfyUI's API format (menu: Export (API)): { node id: { class_type, inputs } }",
});
export type Workflow = z.infer<typeof Workflow>;

export const WORKFLOW_LIMITS = { nodes: 2_000, depth: 64, keys: 20_000, stringBytes: 262_144 } as const;

/**
 * True for what `Workflow` would take and leave as it is. By hand: the schema copies the graph, node by node, and a submission
 * is mostly graph. What is not plain goes through the schema, which says what is wrong with it.
 */
export function isPlainWorkflow(value: unknown): value is Workflow {
  if (!isPlainObject(value)) return false;
  for (const id of Object.keys(value)) {
    const node = value[id];
    if (id.length > 128 || !isPlainObject(node) || !isPlainObject(node["inputs"])) return false;
    const { class_type: name } = node;
    if (typeof name !== "string" || name.length === 0 || name.length > 256) return false;
  }
  return true;
}

/** Of parsed JSON: an object, and no list. */
function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** True for the graph that the ComfyUI editor saves (`nodes` and `links` arrays), which no API accepts. */
export function isUiFormat(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    Array.isArray((value as { nodes?: unknown }).nodes) && // narrowed to object above
    "links" in value
  );
}

export type LimitFault = { readonly limit: "depth" | "keys" | "string"; readonly path: readonly string[] };

const ONE_WORKFLOW: { readonly values: number; readonly longTexts: readonly string[] } = {
  values: WORKFLOW_LIMITS.keys,
  longTexts: [],
};

/**
 * Finds what is too deep, too many or too long in parsed JSON, without recursion: a 2 MB nest of arrays passes JSON.parse
 * and overflows every recursive reader after it (reference/security.md). Returns undefined when all is within limits.
 */
export function findLimitFault(
  root: unknown,
  { values, longTexts }: { readonly values: number; readonly longTexts: readonly string[] } = ONE_WORKFLOW,
): LimitFault | undefined {
  const stack: { value: unknown; path: readonly string[] }[] = [{ value: root, path: [] }];
  let keys = 0;
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { value, path } = next;
    const mayBeLong = path.length === 1 && longTexts.includes(path[0] ?? "");
    if (
      typeof value === "string" &&
      value.length > WORKFLOW_LIMITS.stringBytes &&
      !value.startsWith("data:") &&
      !mayBeLong
    )
      return { limit: "string", path };
    if (typeof value !== "object" || value === null) continue;
    if (path.length >= WORKFLOW_LIMITS.depth) return { limit: "depth", path: path.slice(0, 8) };
    // Before Object.entries: 10 MB of [0,0,0,…] would become half a gigabyte of pairs.
    if (Array.isArray(value) && value.length > WORKFLOW_LIMITS.keys) return { limit: "keys", path: path.slice(0, 8) };
    for (const [key, child] of Object.entries(value)) {
      keys += 1;
      if (keys > values) return { limit: "keys", path: path.slice(0, 8) };
      stack.push({ value: child, path: [...path, key] });
    }
  }
  return undefined;
}
