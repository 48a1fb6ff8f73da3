import { parseParamPath, type Workflow } from "@comfyq/contract";

/**
 * What a text of a CSV stands for: of the kind that the workflow has in that place. Where it has a number, a number ("random" for
 * a seed); where true or false, that; where a text, the text as it is. Where it has nothing or a link, JSON if it is JSON, else text.
 */
export function readText(
  workflow: Workflow,
  path: string,
  text: string,
): { readonly value: unknown } | { readonly fault: string } {
  const place = parseParamPath(path);
  const inputs = place && Object.hasOwn(workflow, place.nodeId) ? workflow[place.nodeId]?.inputs : undefined;
  const now: unknown = place && inputs && Object.hasOwn(inputs, place.input) ? inputs[place.input] : undefined;
  const isSeed = place?.input === "seed" || place?.input === "noise_seed";
  if (isSeed && text.trim() === "random") return { value: "random" };
  if (typeof now === "number" || (isSeed && now === "random")) {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    return Number.isFinite(value)
      ? { value }
      : { fault: `must be a number, and is ${JSON.stringify(text.slice(0, 40))}` };
  }
  if (typeof now === "boolean") {
    const word = text.trim().toLowerCase();
    return word === "true" || word === "false"
      ? { value: word === "true" }
      : { fault: `must be true or false, and is ${JSON.stringify(text.slice(0, 40))}` };
  }
  return { value: typeof now === "string" ? text : orJson(text) };
}

function orJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
