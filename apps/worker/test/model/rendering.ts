import { isSameInstance, JobErrorCode, jobFailure, mayHaveLeftPrompt } from "@comfyq/contract";
import { fail, journal, type Next, succeeded, type Try } from "./attempt.ts";
import { stopPrompt, strikes } from "./comfyui.ts";
import { flyCanary, mayBegin, noteHealth, restartBy } from "./instanceWatch.ts";
import { isOurs } from "./lock.ts";
import { type Fate, type Held, placeOf, type Worker, type World } from "./state.ts";

/** Silence after which a render counts as stuck, and the longest render. */
const STALL_MS = 20_000;
const TIMEOUT_MS = 60_000;
/** A ComfyUI that does not answer for this long has its job given back. */
const AWAY_MS = 4_000;
/** Interrupts ignored for this long lead to a restart, and for that long to giving up. */
const CANCEL_MS = 35_000;
const STUCK_MS = 600_000;

/** Its manifest, or a prompt that was left here, or a new one; what was left elsewhere is stopped first. */
export function submitOrRejoin(world: World, worker: Worker, held: Held): Next {
  const { rules } = world.parts;
  if (held.promptId !== undefined) return noteSubmitted(world, worker, held); // it was not known to be written
  if (rules.looksForManifest && held.epoch > 1 && !world.storeIsUp) return "again";
  if (rules.looksForManifest && world.manifests.has(held.job.id)) {
    world.promises.sees("found its manifest");
    return succeeded(held);
  }
  if (worker.instance.state !== "up") return fail("comfyui_unreachable", { world, worker, held });
  const left = rules.looksForLeftPrompt && rules.rejoins ? findLeftPrompt(worker, held) : undefined;
  if (left !== undefined) {
    world.promises.sees("rejoined");
    Object.assign(held, { promptId: left, mayRun: true, wasTaken: true });
    return noteSubmitted(world, worker, held);
  }
  if (rules.looksForLeftPrompt && !stopEarlier(world, worker, held)) {
    noteHealth(world, worker, { kind: "look_again" });
    return fail("comfyui_unreachable", { world, worker, held });
  }
  return prepare(world, worker, held);
}

function prepare(world: World, worker: Worker, held: Held): Next {
  const { job, epoch } = held;
  const struck = strikes(job, "preparing");
  if (struck) return fail(struck, { world, worker, held });
  const { looksForLeftPrompt } = world.parts.rules;
  held.promptId = looksForLeftPrompt ? `${job.id}:${epoch}` : `${job.id}:${epoch}:${world.nowMs}`;
  return noteSubmitted(world, worker, held);
}

/** The prompt stands in the journal before ComfyUI hears of it. */
function noteSubmitted(world: World, worker: Worker, held: Held): Next {
  const written = journal(world, worker, { held, prompt_id: held.promptId ?? null, stage: "submitted" });
  if (written !== "written") return written;
  held.renderSinceMs = world.nowMs;
  return held.mayRun ? "rendering" : "journaled";
}

/** The newest that still runs or waits here, or has ended well. */
function findLeftPrompt({ instance }: Worker, { earlier }: Held): string | undefined {
  return earlier
    .filter(mayHaveLeftPrompt)
    .filter((page) => isSameInstance(page, placeOf(instance)))
    .map((page) => page.prompt_id)
    .findLast(
      (promptId) => instance.prompts.some(({ id }) => id === promptId) || instance.history.get(promptId) === "ok",
    );
}

/** @returns false when one at this worker's own instance does not stop */
export function stopEarlier(world: World, { instance }: Worker, { earlier }: Held): boolean {
  let isClear = true;
  for (const page of earlier) {
    const at = world.instances.find((one) => isSameInstance(page, placeOf(one)));
    const isHere = at === instance;
    const isStuckHere = isHere && page.stop?.stop_ms === null;
    // One of the same address is another machine's own, which cannot be reached from here.
    if (at === undefined || (!isHere && page.instance === instance.address)) continue;
    if (page.prompt_id === null || !(mayHaveLeftPrompt(page) || isStuckHere)) continue;
    if (!stopPrompt(at, page.prompt_id) && at === instance) isClear = false;
  }
  return isClear;
}

export function post(world: World, worker: Worker, held: Held): Next {
  const { job, epoch, promptId } = held;
  const { instance } = worker;
  if (!isOurs(world, held) || promptId === undefined) return "lost";
  const isThere = mayBegin(world, worker) && instance.state === "up";
  const refusal = isThere ? strikes(job, "posting") : "comfyui_unreachable";
  if (refusal) {
    // A ComfyUI that has not met this job cannot have died of it.
    const facts = world.parts.rules.forgetsRefusals ? { prompt_id: null, stage: "preparing" as const } : {};
    const written = journal(world, worker, { held, ...facts });
    return written === "written" ? fail(refusal, { world, worker, held }) : written;
  }
  Object.assign(held, { mayRun: true, wasTaken: true });
  instance.prompts.push({ id: promptId, jobId: job.id, epoch, startedAtMs: undefined, fate: "ok" });
  world.promises.onRender(world, worker, held);
  return "rendering";
}

export function watch(world: World, worker: Worker, held: Held): Next {
  const { instance } = worker;
  if (instance.state !== "up") {
    held.awaySinceMs ??= world.nowMs;
    return world.nowMs - held.awaySinceMs < AWAY_MS ? "again" : fail("comfyui_unreachable", { world, worker, held });
  }
  held.awaySinceMs = undefined;
  const prompt = instance.prompts.find(({ id }) => id === held.promptId);
  if (!prompt) return afterRender(instance.history.get(held.promptId ?? ""), { world, worker, held });
  const forMs = world.nowMs - held.renderSinceMs;
  const isSilent = instance.isZombie || prompt.fate === "silence";
  if (isSilent && forMs >= STALL_MS) return stopFor("stalled", { world, worker, held });
  return forMs >= TIMEOUT_MS ? stopFor("timeout", { world, worker, held }) : "again";
}

function afterRender(fate: Fate | undefined, { world, worker, held }: Try): Next {
  held.mayRun = false;
  if (fate !== "ok") return fail(codeOf(fate), { world, worker, held });
  noteHealth(world, worker, { kind: "rendered" });
  return "rendered";
}

/** What neither queue nor history knows was lost. Of a render that took its worker along, another learns no reason. */
function codeOf(fate: Fate | undefined): JobErrorCode {
  return fate === undefined ? "prompt_lost" : (JobErrorCode.safeParse(fate).data ?? "internal");
}

/**
 * Canceled, out of time, or silent: the prompt is interrupted until it is gone, then its ComfyUI is restarted, then one
 * waits; after a silence not for long, and a canary says whether the workflow is to blame, or the instance.
 */
export function stopFor(code: "canceled" | "timeout" | "stalled", { world, worker, held }: Try): Next {
  const { promptId } = held;
  held.stopSinceMs ??= world.nowMs;
  const forMs = world.nowMs - held.stopSinceMs;
  const mustStop = promptId !== undefined && held.mayRun && world.parts.rules.stopsBeforeCanceled;
  const isGone = !mustStop || stopPrompt(worker.instance, promptId);
  const isLate = forMs >= CANCEL_MS;
  if (!isGone && isLate && world.canRestart) restartBy(world, worker);
  if (!isGone && (forMs < (code === "stalled" ? CANCEL_MS : STUCK_MS) || world.canRestart)) return "again";
  if (!isGone) worker.condemned.add(promptId);
  held.mayRun = !isGone;
  const stop = { stop_ms: isGone ? forMs : null, ignored_by: null, escalation: "none" as const };
  if (held.page) held.page = { ...held.page, stop };
  if (code !== "stalled") return { kind: "failed", error: jobFailure(code, code) };
  const isWell = isGone && !isLate && flyCanary(world, worker);
  return fail(isWell ? "stalled" : "comfyui_zombie", { world, worker, held });
}
