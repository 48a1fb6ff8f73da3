import { type ComfyUi, isComfyError } from "@comfyq/comfyui";
import { comboOptions, type ObjectInfo } from "@comfyq/comfyui/wire";
import { canonicalJson, type ModelLists, NodeClasses } from "@comfyq/contract";
import { sha256Hex } from "@comfyq/runtime";

/** What an instance told, and its hash. */
interface ToldText {
  readonly json: string;
  readonly sha256: string;
}

/** Folders that `/models` lists and that hold no models: some are large, and tell what is nobody's business. */
const NO_MODELS = ["configs", "custom_nodes", "datasets"];

/** What one ComfyUI is, asked of it each time it came back. */
export interface InstanceFacts {
  readonly version: string | null;
  readonly device: string | null;
  /** sha256 of its version and of what its node classes take and give: on alike instances the same graph gives the same. */
  readonly fingerprint: string;
  readonly classes: NodeClasses;
  /** All that it tells of its node classes, and the hash of that. */
  readonly objectInfo: ToldText;
  /** The names of all its models, by folder (`ModelLists`), and the hash of that. */
  readonly modelLists: ToldText;
  /** Comfy Cloud is many machines behind one address. */
  readonly isCloud: boolean;
}

/** Asks a ComfyUI what it is. @throws ComfyError */
export async function learnInstance(comfyui: ComfyUi): Promise<InstanceFacts> {
  const [features, objectInfo] = await Promise.all([comfyui.features(), comfyui.objectInfo()]);
  const isCloud = features.dialect === "cloud";
  const classes = NodeClasses.parse(
    Object.fromEntries(Object.entries(objectInfo).map(([name, node]) => [name, node.output_node ?? false])),
  );
  return {
    objectInfo: told(objectInfo),
    modelLists: told(isCloud ? {} : await listModels(comfyui)),
    version: features.version ?? null,
    device: isCloud ? null : ((await comfyui.stats()).devices[0]?.name ?? null),
    fingerprint: fingerprintOf(features.version ?? null, objectInfo),
    classes,
    isCloud,
  };
}

/**
 * Asks again what an instance has, if its models are other ones by now: they come and go while it runs, and then the choices of its
 * node classes are others, too. Nodes themselves it only gets by a restart.
 * @returns undefined when nothing has changed @throws ComfyError
 */
export async function learnAgain(comfyui: ComfyUi, known: InstanceFacts): Promise<InstanceFacts | undefined> {
  if (known.isCloud || told(await listModels(comfyui)).sha256 === known.modelLists.sha256) return undefined;
  return learnInstance(comfyui);
}

/** One folder after the other: ComfyUI has them in memory, and a GPU to look after. */
async function listModels(comfyui: ComfyUi): Promise<ModelLists> {
  const lists: Record<string, string[]> = {};
  for (const folder of (await orNone(comfyui.modelFolders())) ?? [])
    if (!NO_MODELS.includes(folder)) lists[folder] = [...((await orNone(comfyui.models(folder))) ?? [])].sort();
  return lists;
}

/** A folder that a custom node has announced and that cannot be listed keeps nobody from rendering. */
async function orNone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isComfyError(error, "protocol")) return undefined;
    throw error;
  }
}

function told(value: unknown): ToldText {
  const json = JSON.stringify(value);
  return { json, sha256: sha256Hex(json) };
}

/**
 * Pure. Choices are left out: most are lists of files, which come and go, and a graph names its choice anyway. So are words that
 * only people read.
 */
export function fingerprintOf(version: string | null, objectInfo: ObjectInfo): string {
  const nodes = Object.entries(objectInfo).map(([name, { input, output, output_node }]) => {
    const { required = {}, optional = {} } = input ?? {};
    const outputs = (output ?? []).map((type) => (typeof type === "string" ? type : "COMBO"));
    return [
      name,
      { required: kindsOf(required), optional: kindsOf(optional), outputs, isOutput: output_node ?? false },
    ];
  });
  return sha256Hex(canonicalJson({ version, nodes: Object.fromEntries(nodes) }));
}

function kindsOf(inputs: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(inputs).map(([name, spec]) => [name, kindOf(spec)]));
}

/** The type of an input, and what it is when a graph leaves it out. */
function kindOf(spec: unknown): unknown {
  if (!Array.isArray(spec) || comboOptions(spec)) return "COMBO";
  const [type, config]: readonly unknown[] = spec;
  const hasDefault = typeof config === "object" && config !== null && "default" in config;
  return { type, default: hasDefault ? config.default : null };
}
