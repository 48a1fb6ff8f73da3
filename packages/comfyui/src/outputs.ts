import type { NodeOutputs, OutputFile, OutputValue, PromptOutputs } from "./face.ts";
import { FileEntry, type HistoryEntry, type NodeOutput } from "./wire/index.ts";

/** Says how a list of images is to be shown; it is no result of its own (§3.4). */
const HINT_KEY = "animated";

/**
 * Everything a finished prompt returned, over all UI keys, in node order (numeric ids by number) and within a node in
 * the order in which it was returned. Nodes made by expansion count as the node that the customer submitted.
 * Source: reference/comfyui-protocol.md §3.4.
 */
export function collectOutputs(entry: HistoryEntry): PromptOutputs {
  const nodes = outputsByNode(entry);
  return { files: nodes.flatMap((node) => node.files), values: nodes.flatMap((node) => node.values) };
}

/** The same, node by node; nodes that returned nothing are left out. */
export function outputsByNode(entry: HistoryEntry): readonly NodeOutputs[] {
  const merged = new Map<string, NodeOutputs>();
  for (const [id, output] of Object.entries(entry.outputs).toSorted(([a], [b]) => compareNodeIds(a, b))) {
    const node = collectNode(entry.meta?.[id]?.display_node ?? id, output);
    const earlier = merged.get(node.node_id);
    const both = {
      node_id: node.node_id,
      files: [...(earlier?.files ?? []), ...node.files],
      values: [...(earlier?.values ?? []), ...node.values],
    };
    if (both.files.length + both.values.length > 0) merged.set(node.node_id, renumber(both));
  }
  return [...merged.values()];
}

/** What one node returned, as `executed` frames and history entries have it. */
export function collectNode(nodeId: string, output: NodeOutput | null): NodeOutputs {
  const files: OutputFile[] = [];
  const values: OutputValue[] = [];
  for (const [key, returned] of Object.entries(output ?? {})) {
    if (key === HINT_KEY) continue;
    // Custom nodes may return a bare value where ComfyUI's own return a list.
    for (const item of Array.isArray(returned) ? returned : [returned]) {
      const file = FileEntry.safeParse(item);
      if (file.success) {
        const { filename, subfolder = "", type } = file.data;
        files.push({ node_id: nodeId, key, index: 0, filename, subfolder, type });
      } else if (item !== null) values.push({ node_id: nodeId, key, index: 0, value: item });
    }
  }
  return renumber({ node_id: nodeId, files, values });
}

function renumber(node: NodeOutputs): NodeOutputs {
  return { node_id: node.node_id, files: numbered(node.files), values: numbered(node.values) };
}

function numbered<T extends { readonly key: string }>(items: readonly T[]): (T & { readonly index: number })[] {
  const counts = new Map<string, number>();
  return items.map((item) => {
    const index = counts.get(item.key) ?? 0;
    counts.set(item.key, index + 1);
    return { ...item, index };
  });
}

/** `2` before `10`, `2.0.0.1` after `2`; ids that are no numbers by the alphabet. */
function compareNodeIds(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
