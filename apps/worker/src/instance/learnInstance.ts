import type { ComfyUi } from "@comfyq/comfyui";
import { NodeClasses } from "@comfyq/contract";
import { sha256Hex } from "@comfyq/runtime";

/** What one ComfyUI is, asked of it each time it came back. */
export interface InstanceFacts {
  readonly version: string | null;
  readonly device: string | null;
  /** sha256 of the sorted node classes. */
  readonly fingerprint: string;
  readonly classes: NodeClasses;
  /** Comfy Cloud is many machines behind one address. */
  readonly isCloud: boolean;
}

/** Asks a ComfyUI what it is. @throws ComfyError */
export async function learnInstance(comfyui: ComfyUi): Promise<InstanceFacts> {
  const [features, stats, objectInfo] = await Promise.all([comfyui.features(), comfyui.stats(), comfyui.objectInfo()]);
  const classes = NodeClasses.parse(
    Object.fromEntries(Object.entries(objectInfo).map(([name, node]) => [name, node.output_node ?? false])),
  );
  return {
    version: features.version ?? null,
    device: stats.devices[0]?.name ?? null,
    fingerprint: sha256Hex(Object.keys(classes).sort().join("\n")),
    classes,
    isCloud: features.dialect === "cloud",
  };
}
