import type { JobFailure } from "@comfyq/contract";
import type { Standing } from "./instanceHealth.ts";
import type { InstanceFacts } from "./learnInstance.ts";

/** The one ComfyUI of this process, as its loop and its attempts see it. */
export interface Instance {
  /** Undefined until it has answered once. */
  facts(): InstanceFacts | undefined;
  /** May jobs be claimed for it, and if not, why. */
  standing(): Standing;
  /** Waits until jobs may be claimed. @throws the signal's reason */
  untilWell(signal: AbortSignal): Promise<void>;
  /** Jobs that wait and whose prompts are there: to be claimed before all others. */
  toRejoin(): readonly string[];
  /** A prompt was rendered to its end there. */
  noteRendered(): void;
  /** An attempt failed there; the failure's code says whether the instance is to blame. */
  noteFailure(failure: JobFailure): void;
  /** A prompt may have been left behind there: nothing is claimed until somebody has looked. @param condemned stop it */
  lookAgain(condemned?: string): void;
  /** A prompt that has ended may have been left in its history: it is taken out by and by. */
  tidyLater(): void;
  /** False when another worker drives it, or may do so by now because Redis does not say that we do: nothing may be begun. */
  isSurelyOurs(): Promise<boolean>;
  /** True when another worker drives it by now, because this process slept. Then what runs there is the other's. */
  isAnothers(): Promise<boolean>;
  /** Runs a canary, while no job of ours is there. @returns why it failed; undefined when it ran */
  flyCanary(signal: AbortSignal): Promise<string | undefined>;
  /** Undefined when the operator gave no command. Restarts it; true when it answers again in time. */
  readonly restart: ((signal: AbortSignal) => Promise<boolean>) | undefined;
  /** Lets another worker have it. */
  release(): Promise<void>;
}
