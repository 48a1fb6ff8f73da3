import { declaredInputs, type ValidatedClass } from "@comfyq/comfyui/wire";
import type { Folders } from "../files/Folders.ts";
import type { NodeClass } from "./NodeClass.ts";

/** One class as `POST /prompt` checks a graph against it, with the files that are there now. */
export function validatedClass(nodeClass: NodeClass | undefined, folders: Folders): ValidatedClass | undefined {
  if (!nodeClass) return undefined;
  const { name, outputs, isOutput = false, validation } = nodeClass;
  return {
    name,
    inputs: declaredInputs(nodeClass.inputs(folders)),
    outputs,
    isOutput,
    validation: validation && {
      inputs: validation.inputs,
      check: (inputs) => validation.check(inputs, folders),
    },
  };
}
