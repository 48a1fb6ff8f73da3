import type { Line, LineOf } from "../history.ts";
import type { Facts } from "./facts.ts";
import { type Breach, type Finding, judged, sum } from "./judgement.ts";

/** So much suspicion makes a poison (SETTINGS.poisonDeaths). */
const MOST_SUSPICION = 2;
/** While a job is stored its worker renders the next one, which is more likely to have killed it (queue/judgeClaim.ts). */
const SUSPICION = { rendering: 1, storing: 0.5 } as const;
/** No schedule of these runs explains more starts of one job than this. */
const MOST_ATTEMPTS = 40;

/**
 * I7. Attempts are bounded. After two attempts that took their worker or their ComfyUI with them (or more that died while
 * they were stored, which says less) a job is not started once more: one that would kill whoever runs it has failed in the end, unless its customer canceled it before.
 */
export function checkI07(facts: Facts): Finding {
  return sum(
    facts.accepted.map((accepted) => {
      const { job } = accepted;
      const attempts = facts.about(job, "claimed");
      const deaths = attempts.flatMap((attempt) => deathOf(facts, attempt) ?? []);
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

interface Death {
  readonly line: Line;
  readonly suspicion: number;
}

function startedAgain(deaths: readonly Death[], attempts: readonly LineOf<"claimed">[]): Breach | undefined {
  let suspicion = 0;
  for (const { line: last, suspicion: more } of deaths.toSorted((a, b) => a.line.t - b.line.t)) {
    suspicion += more;
    const again = suspicion < MOST_SUSPICION ? undefined : attempts.find(({ t }) => t > last.t);
    const lines = [...deaths.map(({ line }) => line), ...(again ? [again] : [])];
    if (again) return { why: "it was started again after enough attempts at it had died", lines };
  }
  return undefined;
}

/**
 * The end of the worker that held this attempt, or of the ComfyUI that ran its prompt; whichever it met first. A worker
 * that had lost its lock could tell nobody what it saw (it may have been asleep), so a ComfyUI's death counts only before.
 */
function deathOf(facts: Facts, { job, epoch, actor, t }: LineOf<"claimed">): Death | undefined {
  const isOfIt = (line: { readonly epoch: number }) => line.epoch === epoch;
  const fenced = facts.about(job, "fenced").find(isOfIt);
  const letGo = facts.about(job, "settled").find(isOfIt) ?? fenced;
  const letGoAtMs = Math.min(letGo?.t ?? Number.POSITIVE_INFINITY, fenced?.t ?? Number.POSITIVE_INFINITY);
  const isMeanwhile = (atMs: number) => atMs >= t && atMs <= letGoAtMs;
  const worker = facts.of("process_ended").find((ended) => ended.pid === actor && isMeanwhile(ended.t));
  const prompts = [...facts.about(job, "journaled"), ...facts.about(job, "rejoined")].filter(isOfIt);
  const stay = facts
    .staysOf(job)
    .find(({ prompt, started }) => started && prompts.some((line) => line.prompt === prompt));
  if (worker) {
    const wasStoring = stay?.status === "success" && stay.goneAtMs < worker.t;
    return { line: worker, suspicion: wasStoring ? SUSPICION.storing : SUSPICION.rendering };
  }
  if (fenced || stay?.how !== "lost" || !isMeanwhile(stay.goneAtMs)) return undefined;
  const line = facts.lines.find(({ t: atMs }) => atMs === stay.goneAtMs);
  return line && { line, suspicion: SUSPICION.rendering };
}

/** It may have failed for another reason before it could kill twice. */
function notPoisoned(facts: Facts, accepted: LineOf<"accepted">): Breach | undefined {
  const last = facts.about(accepted.job, "observed").at(-1);
  if (!last || last.status === "canceled" || last.status === "failed") return undefined;
  return { why: `it kills whoever runs it, and yet it is ${last.status}`, lines: [accepted, last] };
}
