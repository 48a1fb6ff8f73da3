import { parseParamPath, type Workflow } from "@comfyq/contract";
import type { Expected } from "./checkInput.ts";

/**
 * What the nodes that load an input want it to be.
 * @param label as the customer wrote it: `10.inputs.image`, or the destination `/input/pose.png`
 */
export function expectedOf(workflow: Workflow, label: string): Expected {
  const address = parseParamPath(label);
  if (!label.startsWith("/")) {
    const node = address && workflow[address.nodeId];
    return node && wantsImage(node.class_type, address.input) ? "image" : "anything";
  }
  const name = label.replace(/^\/input\//, "");
  const wants = Object.values(workflow).some(({ class_type, inputs }) =>
    Object.entries(inputs).some(([input, value]) => value === name && wantsImage(class_type, input)),
  );
  return wants ? "image" : "anything";
}

/** ComfyUI's own loaders and those that are named like them; other nodes may take what we do not know. */
function wantsImage(classType: string, input: string): boolean {
  return /^Load(Image|ImageMask|ImageOutput)$/.test(classType) && input === "image";
}
