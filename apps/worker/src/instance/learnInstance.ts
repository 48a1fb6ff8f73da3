import type { ComfyUi } from "@comfyq/comfyui";
import { comboOptions, type ObjectInfo } from "@comfyq/comfyui/wire";
import { canonicalJson, NodeClasses } from "@comfyq/contract";
import { sha256Hex } from "@comfyq/runtime";

/** What one ComfyUI is, asked of it each time it came back. */
export interface InstanceFacts {
  readonly version: string | null;
  readonly device: string | null;
  /** sha256 of its version and of what its node classes take and give: on alike instances the same graph gives the same. */
  readonly fingerprint: string;
  readonly classes: NodeClasses;
  /** All that it tells of its node classes, and the hash of that. */
  readonly objectInfo: { readonly json: string; readonly sha256: string };
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
  const json = JSON.stringify(objectInfo);
  return {
    objectInfo: { json, sha256: sha256Hex(json) },
    version: features.version ?? null,
    device: isCloud ? null : ((await comfyui.stats()).devices[0]?.name ?? null),
    fingerprint: fingerprintOf(features.version ?? null, objectInfo),
    classes,
    isCloud,
  };
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
