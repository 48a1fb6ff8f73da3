import type { PromptFault } from "../prompt.ts";
import { type DeclaredInput, optionsOf } from "./inputTable.ts";
import { isObject, PythonError, pythonBool, pythonFloat, pythonInt, pythonRepr, pythonStr } from "./pythonValues.ts";
import * as faults from "./validationFaults.ts";

/** What is known of one node: whether it can run, and its own errors (none when only an ancestor is at fault). */
export interface Verdict {
  readonly isValid: boolean;
  readonly reasons: readonly PromptFault[];
}

/** What a validator needs to know of a node class. */
export interface ValidatedClass {
  readonly name: string;
  /** See `declaredInputs`. */
  readonly inputs: readonly DeclaredInput[];
  /** The type of each slot. */
  readonly outputs: readonly string[];
  readonly isOutput: boolean;
  /** Checks constants in its own way; range and list checks are skipped for the inputs named here. */
  readonly validation?:
    | {
        readonly inputs: readonly string[];
        /** true, or what is wrong. */
        readonly check: (inputs: Readonly<Record<string, unknown>>) => true | string;
      }
    | undefined;
}

/** What a validator needs to know of the server. */
export interface ValidationRules {
  /** undefined: there is no such class. */
  readonly classOf: (name: string) => ValidatedClass | undefined;
  /** Static cycles are reported (0.19.3); before, they only make the nodes invalid. */
  readonly reportsCycles: boolean;
}

/**
 * Checks the nodes that an output depends on, each once, and writes coerced constants back into the graph
 * (execution.py validate_inputs). Throws Python's exceptions where ComfyUI would: the caller reports them.
 */
export class GraphValidator {
  /** Verdicts in the order in which they were reached. */
  readonly verdicts = new Map<string, Verdict>();
  readonly #graph: Record<string, unknown>;
  readonly #rules: ValidationRules;
  readonly #visiting: string[] = [];

  constructor(graph: Record<string, unknown>, rules: ValidationRules) {
    this.#graph = graph;
    this.#rules = rules;
  }

  /** @throws PythonError for broken links and nodes without inputs */
  validate(nodeId: string): Verdict {
    const known = this.verdicts.get(nodeId);
    if (known) return known;
    if (this.#visiting.includes(nodeId)) return this.#cycle(nodeId);
    const node = this.#node(nodeId);
    const inputs = node["inputs"];
    if (!isObject(inputs)) throw new PythonError("KeyError", "'inputs'");
    const nodeClass = this.#classOf(nodeId);
    const reasons: PromptFault[] = [];
    let isValid = true;
    for (const input of nodeClass.inputs) {
      const found = this.#checkInput({ nodeId, nodeClass, input, inputs });
      if (found === "invalid ancestor") isValid = false;
      else if (found) reasons.push(found);
    }
    reasons.push(...this.#customFaults(nodeClass, inputs));
    // A cycle may have left its verdict here meanwhile: both hold.
    const earlier = this.verdicts.get(nodeId);
    const verdict = {
      isValid: (earlier?.isValid ?? true) && isValid && reasons.length === 0,
      reasons: [...(earlier?.reasons ?? []), ...reasons],
    };
    this.verdicts.set(nodeId, verdict);
    return verdict;
  }

  #checkInput(place: Place): PromptFault | "invalid ancestor" | undefined {
    const { input, inputs } = place;
    if (!Object.hasOwn(inputs, input.name)) {
      return input.isRequired ? faults.requiredInputMissing(input.name) : undefined;
    }
    const value = inputs[input.name];
    return Array.isArray(value) ? this.#checkLink(place, value) : checkConstant(place, value);
  }

  #checkLink({ nodeId, input }: Place, value: readonly unknown[]): PromptFault | "invalid ancestor" | undefined {
    if (value.length !== 2) return faults.badLinkedInput(input, value);
    const [from, slot] = value;
    const receivedType = slotOf(this.#classOf(from).outputs, slot);
    if (!typesMeet(receivedType, input.type)) return faults.returnTypeMismatch(input, receivedType, value);
    const fromId = pythonStr(from);
    this.#visiting.push(nodeId);
    try {
      return this.validate(fromId).isValid ? undefined : "invalid ancestor";
    } catch (cause) {
      const error = asPythonError(cause);
      const reasons = [faults.exceptionDuringInnerValidation(input, error, value)];
      this.verdicts.set(fromId, { isValid: false, reasons });
      return "invalid ancestor";
    } finally {
      this.#visiting.pop();
    }
  }

  #customFaults(nodeClass: ValidatedClass, inputs: Record<string, unknown>): PromptFault[] {
    const { validation } = nodeClass;
    if (!validation) return [];
    const constants = validation.inputs.filter((name) => Object.hasOwn(inputs, name) && !Array.isArray(inputs[name]));
    if (constants.length === 0) return [];
    const values = Object.fromEntries(constants.map((name) => [name, inputs[name]]));
    const answer = validation.check(values);
    return answer === true ? [] : constants.map((name) => faults.customValidationFailed(name, answer));
  }

  #cycle(nodeId: string): Verdict {
    const path = [...this.#visiting.slice(this.#visiting.indexOf(nodeId)), nodeId];
    const members = [...new Set(path)];
    const words = path.map((id) => `${id} (${this.#classOf(id).name})`).join(" -> ");
    for (const id of members) {
      const reasons = this.#rules.reportsCycles ? [faults.dependencyCycle(id, words, members)] : [];
      this.verdicts.set(id, { isValid: false, reasons });
    }
    return { isValid: false, reasons: [] };
  }

  #node(nodeId: unknown): Record<string, unknown> {
    const node = typeof nodeId === "string" && Object.hasOwn(this.#graph, nodeId) ? this.#graph[nodeId] : undefined;
    if (!isObject(node)) throw new PythonError("KeyError", pythonRepr(nodeId));
    return node;
  }

  #classOf(nodeId: unknown): ValidatedClass {
    const classType = pythonStr(this.#node(nodeId)["class_type"]);
    const nodeClass = this.#rules.classOf(classType);
    if (!nodeClass) throw new PythonError("KeyError", pythonRepr(classType));
    return nodeClass;
  }
}

interface Place {
  readonly nodeId: string;
  readonly nodeClass: ValidatedClass;
  readonly input: DeclaredInput;
  readonly inputs: Record<string, unknown>;
}

/** Any failure as the Python exception it stands for. */
export function asPythonError(cause: unknown): PythonError {
  if (cause instanceof PythonError) return cause;
  return new PythonError("RuntimeError", cause instanceof Error ? cause.message : String(cause));
}

function checkConstant({ nodeClass, input, inputs }: Place, received: unknown): PromptFault | undefined {
  let value = received;
  try {
    if (isObject(value) && Object.hasOwn(value, "__value__")) value = value["__value__"];
    value = coerced(value, input.type);
    inputs[input.name] = value;
  } catch (cause) {
    return faults.invalidInputType(input, value, asPythonError(cause));
  }
  if (nodeClass.validation?.inputs.includes(input.name)) return undefined;
  const { min, max } = { min: input.config["min"], max: input.config["max"] };
  if (typeof value === "number" && typeof min === "number" && value < min)
    return faults.outOfRange(input, value, "min");
  if (typeof value === "number" && typeof max === "number" && value > max)
    return faults.outOfRange(input, value, "max");
  const options = optionsOf(input);
  return options && !options.includes(value) ? faults.valueNotInList(input, value, options) : undefined;
}

function coerced(value: unknown, type: DeclaredInput["type"]): unknown {
  if (type === "INT") return pythonInt(value);
  if (type === "FLOAT") return pythonFloat(value);
  if (type === "STRING") return pythonStr(value);
  return type === "BOOLEAN" ? pythonBool(value) : value;
}

function slotOf(outputs: readonly string[], slot: unknown): string {
  if (typeof slot !== "number" || !Number.isInteger(slot)) {
    throw new PythonError("TypeError", "tuple indices must be integers or slices, not str");
  }
  const type = outputs.at(slot);
  if (type === undefined) throw new PythonError("IndexError", "tuple index out of range");
  return type;
}

/** Whether an output of one type may feed an input of another; `*` meets everything, `A,B` meets A and B. */
function typesMeet(received: string, declared: DeclaredInput["type"]): boolean {
  if (received === "*" || declared === "*") return true;
  if (typeof declared !== "string") return received === "COMBO";
  const allowed = declared.split(",");
  return received.split(",").some((type) => allowed.includes(type));
}
