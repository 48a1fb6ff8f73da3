import type { AttemptEnd, JobErrorCode } from "@comfyq/contract";
import { jobFailure } from "@comfyq/contract";
import type { Outcome } from "@comfyq/queue";
import { judge, lockIt, neighboursOf } from "./claiming.ts";
import { strikes } from "./comfyui.ts";
import { noteHealth } from "./instanceWatch.ts";
import { canAsk, hears, isOurs, letGo, lose } from "./lock.ts";
import { isLocked, settle, writePage } from "./queue.ts";
import { post, stopFor, submitOrRejoin, watch } from "./rendering.ts";
import { type Held, placeOf, type Stage, type Worker, type World } from "./state.ts";

const REST_MS = 3_000;

/**
 * Where an attempt stands after a step. `again`: whom it needs is away. `lost`: the job is another's by now. `gone`: it was
 * let go. An outcome: nothing more is to be tried, only to be written down.
 */
export type Next = Stage | Outcome | "again" | "lost" | "gone";

/** One step's surroundings. */
export interface Try {
  readonly world: World;
  readonly worker: Worker;
  readonly held: Held;
}

type Step = (world: World, worker: Worker, held: Held) => Next;

/** The worker's runAttempt, cut where it can be killed. */
const STEPS: Readonly<Record<Stage, Step>> = {
  claimed: lockIt,
  locked: judge,
  preparing: submitOrRejoin,
  journaled: post,
  rendering: watch,
  rendered: store,
  stored: (world, _worker, held) => (isOurs(world, held) ? "sealing" : "lost"),
  sealing: seal,
  settling: writeEnd,
  moving: settleIt,
};

/** Does the next step of one attempt. */
export function stepAttempt(world: World, worker: Worker, held: Held): void {
  const isStopped = held.hearsCancel && held.page && held.outcome === undefined && held.stage !== "sealing";
  const next = isStopped ? stopFor("canceled", { world, worker, held }) : STEPS[held.stage](world, worker, held);
  if (next === "lost") lose(world, worker, held);
  else if (next === "gone") letGo(world, worker, held);
  else if (typeof next === "object") Object.assign(held, { outcome: next, stage: "settling" });
  else if (next !== "again") held.stage = next;
}

/** Writes the attempt's page, under its token. @returns what is to be done when that did not work */
export function journal(
  world: World,
  worker: Worker,
  { held, ...facts }: { readonly held: Held } & Partial<NonNullable<Held["page"]>>,
): "written" | "again" | "lost" {
  if (!held.page || !canAsk(world, worker)) return "again";
  held.page = { ...held.page, ...facts };
  const isWritten = isLocked(world, held.job, held.token);
  if (isWritten) writePage(held.job, held.page);
  if (isWritten && facts.end && held.outcome) world.promises.onEndWritten(held, held.outcome);
  if (!hears(world, worker)) return "again";
  return isWritten ? "written" : "lost";
}

/** What becomes of a try that failed with this code, here and now. */
export function fail(code: JobErrorCode, { world, worker, held }: Try): Outcome {
  const error = jobFailure(code, code);
  noteHealth(world, worker, { kind: "failed", failure: error });
  if (code === "comfyui_unreachable" || code === "worker_unfit") worker.restUntilMs = world.nowMs + REST_MS;
  const { job, earlier } = held;
  const here = placeOf(worker.instance);
  const tries = { earlier, maxAttempts: job.maxAttempts, ...here, neighbours: neighboursOf(world, worker) };
  const outcome = world.parts.decideOutcome(error, tries, world.dice());
  world.promises.onFailure(worker, held, { code, isFinal: outcome.kind === "failed" });
  return outcome;
}

function store(world: World, worker: Worker, held: Held): Next {
  if (!isOurs(world, held)) return "lost";
  if (!world.storeIsUp) return "again";
  const written = journal(world, worker, { held, stage: "storing" });
  if (written !== "written") return written;
  const struck = strikes(held.job, "storing");
  if (struck) return fail(struck, { world, worker, held });
  held.hasFiles = world.parts.rules.storesBeforeSealing;
  return "stored";
}

/** The put is on its way: whatever has happened to the lock since, the storage decides. */
export function seal(world: World, _worker: Worker, held: Held): Next {
  const { job, epoch, hasFiles } = held;
  if (!world.storeIsUp) return "again";
  if (!world.manifests.has(job.id) || !world.parts.rules.sealsOnce) {
    world.manifests.set(job.id, { epoch, hasFiles });
    world.promises.onSeal(held);
  }
  return succeeded(held);
}

export function succeeded({ job, epoch, promptId }: Held): Outcome {
  const metrics = { prepare_ms: 0, render_ms: 0, store_ms: 0 };
  const rest = { instance: "", sealed_at: "2026-01-01T00:00:00.000Z", cached: false, metrics, outputs: [] };
  return { kind: "succeeded", manifest: { v: 1, job_id: job.id, epoch, prompt_id: promptId ?? "", ...rest } };
}

/** First the journal: a death in between leaves an end that a later try overrules, not a death that was none. */
function writeEnd(world: World, worker: Worker, held: Held): Next {
  const { outcome, page } = held;
  if (!isOurs(world, held)) return "lost";
  if (!page || !outcome) return "moving"; // ended before it was begun: there is no page
  const error = "error" in outcome ? (outcome.error ?? null) : null;
  const written = journal(world, worker, { held, end: endOf(outcome), counted: isCounted(outcome), error });
  return written === "written" ? "moving" : written;
}

function endOf(outcome: Outcome): AttemptEnd {
  if (outcome.kind === "succeeded") return "succeeded";
  if (outcome.kind === "give_back" || outcome.kind === "shared") return "given_back";
  const { code } = outcome.error;
  return outcome.kind === "failed" && (code === "canceled" || code === "expired") ? code : "failed";
}

function isCounted(outcome: Outcome): boolean {
  if (outcome.kind === "retry") return outcome.counted;
  return outcome.kind === "succeeded" || endOf(outcome) === "failed";
}

/** Without an answer it asks again until the fence, and then finds the token gone. */
function settleIt(world: World, worker: Worker, { job, token, outcome }: Held): Next {
  if (!outcome || !canAsk(world, worker)) return "again";
  settle(world, job, { token, outcome });
  return hears(world, worker) ? "gone" : "again";
}
