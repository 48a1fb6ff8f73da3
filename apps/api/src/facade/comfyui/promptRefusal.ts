import type { NodeErrors, PromptFault } from "@comfyq/comfyui/wire";

/** The 400 of `POST /prompt`, as ComfyUI words it. */
export class PromptRefusal extends Error {
  override readonly name = "PromptRefusal";
  readonly fault: PromptFault;
  readonly nodeErrors: NodeErrors;

  constructor(fault: PromptFault, nodeErrors: NodeErrors = {}) {
    super(fault.message);
    this.fault = fault;
    this.nodeErrors = nodeErrors;
  }
}
