import { isObject } from "@comfyq/comfyui/wire";
import { SimulatorError } from "../SimulatorError.ts";
import { FAULT_KINDS, type Fault, HTTP_FAULTS, LASTING_FAULTS, STAGED_FAULTS, STAGES } from "./Fault.ts";

const NUMBERS = ["after", "times", "status", "ms", "factor", "downMs"] as const;
const TEXTS = ["promptId", "nodeClass", "path", "method"] as const;
const KNOWN: readonly string[] = ["kind", "at", "when", ...NUMBERS, ...TEXTS];

/**
 * Reads one fault as it came over HTTP or the command line.
 * @throws SimulatorError `bad_fault` which says what is wrong with it
 */
export function parseFault(value: unknown): Fault {
  if (!isObject(value)) throw bad("a fault is an object with a `kind`", value);
  const kind = FAULT_KINDS.find((known) => known === value["kind"]);
  if (!kind) throw bad(`\`kind\` must be one of ${FAULT_KINDS.join(", ")}`, value);
  const stranger = Object.keys(value).find((key) => !KNOWN.includes(key));
  if (stranger) throw bad(`there is no field \`${stranger}\`; fields are ${KNOWN.join(", ")}`, value);
  const at = STAGES.find((stage) => stage === value["at"]);
  if (value["at"] !== undefined && !at) throw bad(`\`at\` must be one of ${STAGES.join(", ")}`, value);
  const when = (["before", "after"] as const).find((moment) => moment === value["when"]);
  if (value["when"] !== undefined && !when) throw bad("`when` must be before or after", value);
  const fault: Fault = {
    kind,
    ...(at ? { at } : {}),
    ...(when ? { when } : {}),
    ...fieldsOf(value, NUMBERS, (field): field is number => typeof field === "number" && field >= 0),
    ...fieldsOf(value, TEXTS, (field): field is string => typeof field === "string"),
  };
  if (isOneOf(HTTP_FAULTS, kind) && fault.path === undefined) throw bad("it needs a `path`", value);
  if (isOneOf(LASTING_FAULTS, kind) && fault.ms === undefined && fault.factor === undefined) {
    throw bad(kind === "exec_slow" ? "it needs a `factor`" : "it needs `ms`", value);
  }
  return fault;
}

/** Whether a kind strikes at a stage, at a request, or lasts. */
export function isOneOf<Kind extends string>(kinds: readonly Kind[], kind: string): kind is Kind {
  return kinds.some((known) => known === kind);
}

/** Where a staged fault strikes when it does not say. */
export function defaultStage(kind: Fault["kind"]): Fault["at"] {
  if (kind === "history_evict") return "done";
  return isOneOf(STAGED_FAULTS, kind) ? "executing" : undefined;
}

function fieldsOf<Key extends string, Value>(
  value: Readonly<Record<string, unknown>>,
  keys: readonly Key[],
  isValid: (field: unknown) => field is Value,
): Partial<Record<Key, Value>> {
  const fields: Partial<Record<Key, Value>> = {};
  for (const key of keys) {
    const field = value[key];
    if (field === undefined) continue;
    if (!isValid(field)) throw bad(`\`${key}\` has the wrong type`, value);
    fields[key] = field;
  }
  return fields;
}

const bad = (why: string, value: unknown): SimulatorError =>
  new SimulatorError("bad_fault", `${JSON.stringify(value)} is not a fault: ${why}.`);
