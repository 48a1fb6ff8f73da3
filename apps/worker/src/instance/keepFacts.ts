import type { ComfyUi } from "@comfyq/comfyui";
import { type Logger, monotonicMs, withDeadline } from "@comfyq/runtime";
import { orAborted } from "../orAborted.ts";
import { type InstanceFacts, learnAgain, learnInstance } from "./learnInstance.ts";

export interface KeepFactsOptions {
  readonly comfyui: ComfyUi;
  /** Tells the fleet: when the instance came back, perhaps with other nodes, and when it has other models. */
  readonly publish: (facts: InstanceFacts) => Promise<void>;
  readonly timeScale: number;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** What is known of an instance, by this worker and by the fleet. */
export interface KeptFacts {
  /** Undefined until it has answered once. */
  current(): InstanceFacts | undefined;
  /** Asks all of it, and tells the fleet. @throws ComfyError, QueueError */
  learn(): Promise<InstanceFacts>;
  /** Now and then, asks whether its models are others by now. Never throws: what cannot be asked is asked the next time. */
  learnAgain(): Promise<void>;
}

/** How soon a model that was put there, or taken away, is known; also in infra/docs/doors.md. */
const AGAIN_EVERY_MS = 30_000;
/** Long before what was published is forgotten. */
const PUBLISH_AGAIN_AFTER_MS = 86_400_000;
/** Longest wait for Redis to take the facts. */
const PUBLISH_MS = 5_000;

export function keepFacts({ comfyui, publish, timeScale, log, signal }: KeepFactsOptions): KeptFacts {
  let facts: InstanceFacts | undefined;
  let againAtMs = 0;
  let publishedAtMs = 0;
  let isAsking = false;
  const keep = async (learned: InstanceFacts) => {
    await orAborted(publish(learned), withDeadline(signal, PUBLISH_MS));
    facts = learned;
    publishedAtMs = monotonicMs();
  };
  const putOff = () => {
    againAtMs = monotonicMs() + AGAIN_EVERY_MS * timeScale;
  };
  return {
    current: () => facts,
    learn: async () => {
      const learned = await learnInstance(comfyui);
      await keep(learned);
      putOff();
      return learned;
    },
    learnAgain: async () => {
      if (!facts || isAsking || monotonicMs() < againAtMs) return;
      isAsking = true;
      try {
        const changed = await learnAgain(comfyui, facts);
        const isOld = monotonicMs() - publishedAtMs > PUBLISH_AGAIN_AFTER_MS;
        if (changed || isOld) await keep(changed ?? facts);
      } catch (cause) {
        log.debug({ cause }, "instance could not be asked for its models");
      } finally {
        isAsking = false;
        putOff();
      }
    },
  };
}
