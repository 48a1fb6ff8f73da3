import type { Folders } from "../files/Folders.ts";
import type { NodeClass } from "./NodeClass.ts";

/** One class as `GET /object_info` shows it (server.py node_info). */
export function objectInfo(nodeClass: NodeClass, folders: Folders): Record<string, unknown> {
  const { required = {}, optional, hidden } = nodeClass.inputs(folders);
  const input = { required, ...(optional ? { optional } : {}), ...(hidden ? { hidden } : {}) };
  return {
    input,
    input_order: Object.fromEntries(Object.entries(input).map(([category, inputs]) => [category, Object.keys(inputs)])),
    is_input_list: false,
    output: nodeClass.outputs,
    output_is_list: nodeClass.outputs.map(() => false),
    output_name: nodeClass.outputNames ?? nodeClass.outputs,
    name: nodeClass.name,
    display_name: nodeClass.displayName ?? nodeClass.name,
    description: nodeClass.description ?? "",
    python_module: nodeClass.pythonModule ?? "nodes",
    category: nodeClass.category,
    output_node: nodeClass.isOutput ?? false,
    has_intermediate_output: false,
    search_aliases: [],
  };
}
