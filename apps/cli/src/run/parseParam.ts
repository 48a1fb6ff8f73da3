import { parseParamPath, type Workflow } from "@comfyq/contract";
import { CliError } from "../CliError.ts";

/** Splits `path=value` at the first `=`. @throws CliError `bad_input` when there is none, or no path before it */
export function splitAssignment(text: string, option: string): readonly [path: string, value: string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new CliError("bad_input", `${option} ${text}: expected node.inputs.name=value, as in 6.inputs.text="a fox"`);
}

/**
 * The value that a human meant with `-p path=value`. What the workflow has there decides: text stays text, so a prompt may
 * be `42` or `true`. Elsewhere JSON counts where it is JSON (`20`, `0.7`, `true`, `["4",0]`, `"quoted"`); the rest is text.
 * @throws CliError `bad_input` for a whole number that JSON cannot carry exactly
 */
function coerceValue(workflow: Workflow, path: string, text: string): unknown {
  const address = parseParamPath(path);
  const present = address ? workflow[address.nodeId]?.inputs[address.input] : undefined;
  if (typeof present === "string") return text;
  const value = parseJson(text);
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
    throw new CliError("bad_input", `-p ${path}=${text}: whole numbers go up to ${Number.MAX_SAFE_INTEGER} here`);
  return value === undefined ? text : value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Reads every `-p`. Later ones win. */
export function parseParams(workflow: Workflow, assignments: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    assignments.map((text) => {
      const [path, value] = splitAssignment(text, "-p");
      return [path, coerceValue(workflow, path, value)];
    }),
  );
}
