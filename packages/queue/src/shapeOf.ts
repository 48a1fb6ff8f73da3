import { createHash } from "node:crypto";
import type { Workflow } from "@comfyq/contract";

/**
 * What two workflows have in common that take about as long: their node classes and links, whatever the values. Renaming the
 * nodes makes another shape, which costs a guess and nothing else.
 */
export function shapeOf(workflow: Workflow): string {
  const hash = createHash("sha1");
  for (const [id, { class_type, inputs }] of Object.entries(workflow)) {
    hash.update(`\n${id} ${class_type}`);
    for (const [name, value] of Object.entries(inputs))
      if (isLink(value)) hash.update(`\t${name} ${String(value[0])}:${String(value[1])}`);
  }
  return hash.digest("base64url").slice(0, 16);
}

/** `["4", 0]`: output 0 of node 4. */
function isLink(value: unknown): value is readonly [unknown, unknown] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && typeof value[1] === "number";
}
