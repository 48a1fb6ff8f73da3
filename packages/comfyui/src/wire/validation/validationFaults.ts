import type { PromptFault } from "../prompt.ts";
import type { DeclaredInput } from "./inputTable.ts";
import { type PythonError, pythonRepr, pythonStr } from "./pythonValues.ts";

/*
 * The error objects of `POST /prompt` (reference/comfyui-protocol.md §1.1; execution.py validate_inputs). Types and
 * texts are part of the protocol: clients compare them.
 */

const fault = (type: string, message: string, rest: Pick<PromptFault, "details" | "extra_info">): PromptFault => ({
  type,
  message,
  ...rest,
});

const inputConfig = (input: DeclaredInput): unknown[] => [input.type, input.config];

const traceback = (place: string): string[] => [`  File "execution.py", in ${place}\n`];

export function requiredInputMissing(name: string): PromptFault {
  return fault("required_input_missing", "Required input is missing", {
    details: name,
    extra_info: { input_name: name },
  });
}

export function badLinkedInput(input: DeclaredInput, received: unknown): PromptFault {
  return fault("bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]", {
    details: input.name,
    extra_info: { input_name: input.name, input_config: inputConfig(input), received_value: received },
  });
}

export function returnTypeMismatch(input: DeclaredInput, receivedType: string, linked: unknown): PromptFault {
  return fault("return_type_mismatch", "Return type mismatch between linked nodes", {
    details: `${input.name}, received_type(${receivedType}) mismatch input_type(${pythonStr(input.type)})`,
    extra_info: {
      input_name: input.name,
      input_config: inputConfig(input),
      received_type: receivedType,
      linked_node: linked,
    },
  });
}

export function invalidInputType(input: DeclaredInput, received: unknown, error: PythonError): PromptFault {
  return fault("invalid_input_type", `Failed to convert an input value to a ${pythonStr(input.type)} value`, {
    details: `${input.name}, ${pythonStr(received)}, ${error.message}`,
    extra_info: {
      input_name: input.name,
      input_config: inputConfig(input),
      received_value: received,
      exception_message: error.message,
    },
  });
}

export function outOfRange(input: DeclaredInput, value: unknown, bound: "min" | "max"): PromptFault {
  const [type, words] =
    bound === "min" ? ["smaller_than_min", "smaller than min"] : ["bigger_than_max", "bigger than max"];
  return fault(`value_${type}`, `Value ${pythonStr(value)} ${words} of ${pythonStr(input.config[bound])}`, {
    details: input.name,
    extra_info: { input_name: input.name, input_config: inputConfig(input), received_value: value },
  });
}

const MOST_OPTIONS_SHOWN = 20;

export function valueNotInList(input: DeclaredInput, value: unknown, options: readonly unknown[]): PromptFault {
  const isLong = options.length > MOST_OPTIONS_SHOWN;
  const list = isLong ? `(list of length ${options.length})` : pythonRepr(options);
  return fault("value_not_in_list", "Value not in list", {
    details: `${input.name}: ${pythonRepr(value)} not in ${list}`,
    extra_info: {
      input_name: input.name,
      input_config: isLong ? null : inputConfig(input),
      received_value: value,
    },
  });
}

export function customValidationFailed(name: string, reason: string): PromptFault {
  return fault("custom_validation_failed", "Custom validation failed for node", {
    details: `${name} - ${reason}`,
    extra_info: { input_name: name },
  });
}

export function exceptionDuringValidation(error: PythonError): PromptFault {
  return fault("exception_during_validation", "Exception when validating node", {
    details: error.message,
    extra_info: { exception_type: error.type, traceback: traceback("validate_prompt") },
  });
}

export function exceptionDuringInnerValidation(input: DeclaredInput, error: PythonError, linked: unknown): PromptFault {
  return fault("exception_during_inner_validation", "Exception when validating inner node", {
    details: error.message,
    extra_info: {
      input_name: input.name,
      input_config: inputConfig(input),
      exception_message: error.message,
      exception_type: error.type,
      traceback: traceback("validate_inputs"),
      linked_node: linked,
    },
  });
}

export function dependencyCycle(nodeId: string, path: string, cycleNodes: readonly string[]): PromptFault {
  return fault("dependency_cycle", "Dependency cycle detected", {
    details: path,
    extra_info: { node_id: nodeId, cycle_nodes: cycleNodes },
  });
}

/** A fault of the whole prompt. */
export function promptFault(
  type: string,
  message: string,
  rest: { readonly details?: string; readonly extra_info?: Record<string, unknown> } = {},
): PromptFault {
  return fault(type, message, { details: rest.details ?? "", extra_info: rest.extra_info ?? {} });
}
