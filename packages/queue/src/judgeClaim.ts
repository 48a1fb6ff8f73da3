import {
  type Attempt,
  isSameInstance,
  type JobFailure,
  jobFailure,
  mayHaveLeftPrompt,
  type Place,
  policyOf,
} from "@comfyq/contract";
import type { Settings } from "./settings.ts";
import { expiredFailure } from "./stateOf.ts";

/** What is known of a job at the moment a worker has claimed it and before anything of it is begun; `instance`: its own. */
export interface ClaimFacts extends Place {
  /** Its attempts so far, oldest first. Declined starts are none. */
  readonly earlier: readonly Attempt[];
  /** Other workers of the pool that live and take jobs. */
  readonly neighbours: readonly Place[];
  readonly cancelWanted: boolean;
  /** Until when it may start, in ms of Redis's clock; undefined when there is no such limit. */
  readonly expiresAtMs: number | undefined;
  /** Redis's clock. */
  readonly nowMs: number;
  /** How long this worker has been declining it; 0 the first time. */
  readonly declinedForMs: number;
  /** It brings models that this worker cannot place, and another one that lives can. */
  readonly isForOthers: boolean;
  /** This worker takes what the others leave waiting, and they have not had the time yet. */
  readonly isTooNew: boolean;
  /** Was Redis away a moment ago? Then workers that are missing may only not have come back yet. */
  readonly redisWasAway: boolean;
}

export type ClaimVerdict =
  | { readonly kind: "take" }
  /**
   * `home`: its prompt may still run at another worker's ComfyUI. `elsewhere`: it failed or cannot run here, and there is an
   * elsewhere. `too_new`: another worker was quicker to claim the one that had waited for long enough.
   */
  | { readonly kind: "decline"; readonly why: "home" | "elsewhere" | "too_new" }
  | { readonly kind: "end"; readonly error: JobFailure };

type Patience = Pick<Settings, "poisonDeaths" | "homePatienceMs" | "elsewherePatienceMs">;

/** Pure: what a worker does with the job it has just claimed. */
export function judgeClaim(facts: ClaimFacts, settings: Patience): ClaimVerdict {
  const error = endOf(facts, settings.poisonDeaths);
  if (error) return { kind: "end", error };
  if (facts.isTooNew) return { kind: "decline", why: "too_new" };
  if (facts.declinedForMs < settings.homePatienceMs && hasAnotherHome(facts)) return { kind: "decline", why: "home" };
  if (facts.isForOthers) return { kind: "decline", why: "elsewhere" }; // however long: here it can never run
  if (facts.declinedForMs < settings.elsewherePatienceMs && hasAnElsewhere(facts))
    return { kind: "decline", why: "elsewhere" };
  return { kind: "take" };
}

function endOf(facts: ClaimFacts, poisonDeaths: number): JobFailure | undefined {
  if (facts.cancelWanted) return jobFailure("canceled", "Canceled before it started");
  // The sweeper ends most of these while they wait; it may be down.
  if (facts.earlier.length === 0 && facts.expiresAtMs !== undefined && facts.expiresAtMs <= facts.nowMs)
    return expiredFailure();
  const deaths = facts.earlier.filter(isDeath);
  if (deaths.reduce((sum, death) => sum + suspicionOf(death), 0) < poisonDeaths) return undefined;
  return jobFailure(
    "poison",
    `Its worker or its ComfyUI died ${deaths.length} times while running it; look at the attempts, then submit it again`,
  );
}

/** While a job is stored its worker renders the next one, which is more likely to have killed it. */
function suspicionOf({ stage }: Attempt): number {
  return stage === "storing" ? 0.5 : 1;
}

/** Did the worker die in this attempt (it never said how it ended), or ComfyUI while it had the prompt? */
function isDeath({ end, error, stage }: Attempt): boolean {
  if (end === null || error?.code === "prompt_lost") return true;
  return error?.code === "comfyui_unreachable" && (stage === "submitted" || stage === "rendering");
}

/** Another ComfyUI may still hold a prompt of this job; its worker, if it is there, goes on without rendering again. */
function hasAnotherHome(here: ClaimFacts): boolean {
  const { earlier, neighbours, redisWasAway } = here;
  const left = earlier.filter(mayHaveLeftPrompt);
  if (left.some((attempt) => isSameInstance(attempt, here))) return false; // this is a home, too
  return left.some((attempt) => redisWasAway || neighbours.some((worker) => isSameInstance(worker, attempt)));
}

/** It failed here in a way that depends on the instance, and a neighbour has not failed it so. */
function hasAnElsewhere(here: ClaimFacts): boolean {
  const { earlier, neighbours } = here;
  const failed = earlier.filter(({ error }) => error && policyOf(error.code).retry === "elsewhere");
  const hasFailedAt = (place: Place) => failed.some((attempt) => isSameInstance(attempt, place));
  return hasFailedAt(here) && neighbours.some((worker) => !hasFailedAt(worker));
}
