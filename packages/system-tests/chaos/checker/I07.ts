import type { Line, LineOf } from "../history.ts";
import type { Facts } from "./facts.ts";
import { type Breach, type Finding, judged, sum } from "./judgement.ts";

/** Attempts of one job that may die with their worker or their ComfyUI (SETTINGS.poisonDeaths). */
const MOST_DEATHS = 2;
/** No schedule of these runs explains more starts of one job than this. */
const MOST_ATTEMPTS = 40;

/**
 * I7. Attempts are bounded. After two attempts that took their worker or their ComfyUI with them a job is not started a
 * third time: one that would kill whoever runs it has failed in the end, unless its customer canceled it before.
 */
export function checkI07(facts: Facts): Finding {
  return sum(
    facts.accepted.map((accepted) => {
      const { job } = accepted;
      const attempts = facts.about(job, "claimed");
      const deaths = attempts.flatMap((attempt) => deathOf(facts, attempt) ?? []).toSorted((a, b) => a.t - b.t);
      const isPoison = accepted.kind === "poison";
      const breaches = [
        startedAgain(deaths, attempts),
        attempts.length > MOST_ATTEMPTS
          ? { why: `it was started ${attempts.length} times`, lines: [accepted] }
          : undefined,
        isPoison ? notPoisoned(facts, accepted) : undefined,
      ];
      return deaths.length > 0 || isPoison ? judged(...breaches) : { ...judged(...breaches), judged: 0 };
    }),
  );
}

function startedAgain(deaths: readonly Line[], attempts: readonly LineOf<"claimed">[]): Breach | undefined {
  const last = deaths[MOST_DEATHS - 1];
  const again = last && attempts.find(({ t }) => t > last.t);
  const why = `it was started again after ${MOST_DEATHS} attempts at it had died`;
  return again && { why, lines: [...deaths, again] };
}

/**
 * The end of the worker that held this attempt, or of the ComfyUI that ran its prompt; whichever it met first. A worker
 * that had lost its lock could tell nobody what it saw (it may have been asleep), so a ComfyUI's death counts only before.
 */
function deathOf(facts: Facts, { job, epoch, actor, t }: LineOf<"claimed">): Line | undefined {
  const isOfIt = (line: { readonly epoch: number }) => line.epoch === epoch;
  const fenced = facts.about(job, "fenced").find(isOfIt);
  const letGo = facts.about(job, "settled").find(isOfIt) ?? fenced;
  const letGoAtMs = Math.min(letGo?.t ?? Number.POSITIVE_INFINITY, fenced?.t ?? Number.POSITIVE_INFINITY);
  const isMeanwhile = (atMs: number) => atMs >= t && atMs <= letGoAtMs;
  const worker = facts.of("process_ended").find((ended) => ended.pid === actor && isMeanwhile(ended.t));
  if (worker || fenced) return worker;
  const prompts = [...facts.about(job, "journaled"), ...facts.about(job, "rejoined")].filter(isOfIt);
  const lost = facts.staysOf(job).find(({ prompt, how, started, goneAtMs }) => {
    return how === "lost" && started && isMeanwhile(goneAtMs) && prompts.some((line) => line.prompt === prompt);
  });
  return lost && facts.lines.find((line) => line.t === lost.goneAtMs);
}

/** It may have failed for another reason before it could kill twice. */
function notPoisoned(facts: Facts, accepted: LineOf<"accepted">): Breach | undefined {
  const last = facts.about(accepted.job, "observed").at(-1);
  if (!last || last.status === "canceled" || last.status === "failed") return undefined;
  return { why: `it kills whoever runs it, and yet it is ${last.status}`, lines: [accepted, last] };
}
