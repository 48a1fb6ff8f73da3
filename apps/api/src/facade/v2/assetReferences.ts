import * as z from "zod";
import type { Fault } from "../../errors.ts";

/** What an SDK writes into a graph in the place of a file: `{"__type": "core/ASSET", "info": {"id", "hash"?, "file_path"?}}`. */
const Reference = z.object({
  __type: z.literal("core/ASSET"),
  info: z.object({ id: z.string().min(1), hash: z.string().nullish(), file_path: z.string().nullish() }),
});

/** One reference, and where it stands. */
export interface AssetReference {
  readonly nodeId: string;
  readonly input: string;
  readonly id: string;
  readonly filePath: string | undefined;
}

export interface TakenReferences {
  /** The graph with a file's name in the place of each reference. What has none is shared, not copied. */
  readonly workflow: Readonly<Record<string, unknown>>;
  readonly references: readonly AssetReference[];
  /** References that cannot be resolved, whatever they name. */
  readonly faults: readonly Fault[];
}

/** Pure: takes the references out of a graph, which may be anything yet. Its depth is limited by `parseJson`. */
export function takeReferences(workflow: Readonly<Record<string, unknown>>): TakenReferences {
  const references: AssetReference[] = [];
  const faults: Fault[] = [];
  const nodes = Object.entries(workflow).map(([nodeId, node]) => {
    if (!isObject(node) || !isObject(node["inputs"]) || !holdsReference(node["inputs"])) return [nodeId, node] as const;
    const inputs = Object.entries(node["inputs"]).map(([input, value]) => {
      const path = `workflow.${nodeId}.inputs.${input}`;
      if (!holdsReference(value)) return [input, value] as const;
      const { data } = Reference.safeParse(value);
      if (data) references.push({ nodeId, input, id: data.info.id, filePath: data.info.file_path ?? undefined });
      else faults.push({ path, message: faultOf(value) });
      return [input, data ? placedName(data.info.file_path ?? data.info.id) : value] as const;
    });
    return [nodeId, { ...node, inputs: Object.fromEntries(inputs) }] as const;
  });
  return { workflow: references.length === 0 ? workflow : Object.fromEntries(nodes), references, faults };
}

/** What a graph says: models by their name below their folder, inputs by theirs. */
function placedName(filePath: string): string {
  return /^\/?models\/[^/]+\/(.+)$/s.exec(filePath)?.[1] ?? filePath;
}

function faultOf(value: unknown): string {
  return isObject(value) && "__type" in value
    ? "is no core/ASSET reference; it must be {__type, info: {id}}"
    : "holds a core/ASSET reference deep inside; it must be the whole value of the input";
}

function holdsReference(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(holdsReference);
  if (!isObject(value)) return false;
  return value["__type"] === "core/ASSET" || Object.values(value).some(holdsReference);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
