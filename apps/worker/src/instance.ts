import type { ComfyUi } from "@comfyq/comfyui";
import { NodeClasses } from "@comfyq/contract";
import { type Logger, monotonicMs, sha256Hex, sleep } from "@comfyq/runtime";

/** What is known of this process's one ComfyUI. */
interface InstanceFacts {
  readonly version: string | null;
  readonly device: string | null;
  /** sha256 of the sorted node classes. */
  readonly fingerprint: string;
  readonly classes: NodeClasses;
}

export interface Instance {
  /** Undefined until it has answered once since it was last away. */
  facts(): InstanceFacts | undefined;
  /** Why no job is claimed for it now; undefined when it is well. */
  trouble(): string | undefined;
  /** Waits until it is well, looking every second. Rejects with the signal's reason when aborted first. */
  untilWell(signal: AbortSignal): Promise<void>;
  /** An attempt met it away or refusing: nothing is claimed until it answers again, and not at once. */
  noteTrouble(reason: string): void;
}

const LOOK_EVERY_MS = 1_000;
/** A server that answers but refuses (a wrong key, say) would otherwise be tried hundreds of times a second. */
const REST_MS = 3_000;

export interface InstanceOptions {
  readonly comfyui: ComfyUi;
  readonly log: Logger;
  /** Called with fresh facts each time the instance came back: it may have other nodes now. */
  readonly onLearned: (facts: InstanceFacts) => Promise<void>;
  /** Called when it became well, or no longer is. */
  readonly onChange: () => void;
}

/** Watches one ComfyUI. It starts as in trouble, until it has answered. */
export function watchInstance({ comfyui, log, onLearned, onChange }: InstanceOptions): Instance {
  let facts: InstanceFacts | undefined;
  let trouble: string | undefined = "ComfyUI has not answered yet";
  let restUntilMs = 0;
  const look = async (signal: AbortSignal): Promise<void> => {
    if (monotonicMs() < restUntilMs) return;
    if (!(await comfyui.isReachable({ signal, withinMs: 2_000 }))) {
      trouble = "ComfyUI does not answer; is it running?";
      return;
    }
    try {
      facts = await learn(comfyui);
      await onLearned(facts);
      trouble = undefined;
      onChange();
      log.info({ version: facts.version, classes: Object.keys(facts.classes).length }, "instance is well");
    } catch (cause) {
      trouble = `ComfyUI answers, but could not be asked what it is: ${cause instanceof Error ? cause.message : "no error was given"}`;
      restUntilMs = monotonicMs() + REST_MS;
    }
  };
  return {
    facts: () => facts,
    trouble: () => trouble,
    untilWell: async (signal) => {
      let said: string | undefined;
      while (trouble !== undefined) {
        await look(signal);
        signal.throwIfAborted();
        if (trouble === undefined) return;
        if (said !== trouble) log.warn({ reason: trouble }, "instance is unready, not claiming");
        said = trouble;
        await sleep(LOOK_EVERY_MS, signal);
      }
    },
    noteTrouble: (reason) => {
      trouble = reason;
      onChange();
      restUntilMs = monotonicMs() + REST_MS;
    },
  };
}

async function learn(comfyui: ComfyUi): Promise<InstanceFacts> {
  const [features, stats, objectInfo] = await Promise.all([comfyui.features(), comfyui.stats(), comfyui.objectInfo()]);
  const classes = NodeClasses.parse(
    Object.fromEntries(Object.entries(objectInfo).map(([name, node]) => [name, node.output_node ?? false])),
  );
  return {
    version: features.version ?? null,
    device: stats.devices[0]?.name ?? null,
    fingerprint: sha256Hex(Object.keys(classes).sort().join("\n")),
    classes,
  };
}
