import { faultKind } from "../faultKinds.ts";
import type { Line } from "../history.ts";
import { endsSeen, type Facts, faultSpans, uncovered } from "./facts.ts";
import { type Finding, judged, sum } from "./judgement.ts";
import type { Stay } from "./stays.ts";

/** Longest time a prompt may outlive its owner, in ms. Not scaled: stopping a GPU takes what it takes. */
export const ORPHAN_MS = 15_000;

/**
 * I4. No GPU works without an owner. Once its job has ended, a later attempt has submitted or rejoined another prompt, or
 * its worker has fenced itself, no simulator runs or holds a prompt longer than 15 s. Time in which that simulator was
 * frozen or out of reach does not count; a prompt that a later attempt rejoined has an owner again.
 */
export function checkI04(facts: Facts): Finding {
  return sum(facts.stays.map((stay) => judgeStay(facts, stay)));
}

function judgeStay(facts: Facts, stay: Stay): Finding {
  const disowned = disownedBy(facts, stay);
  const goneAtMs = Math.min(stay.goneAtMs, facts.endMs);
  if (!disowned || disowned.t >= goneAtMs) return { judged: 0, breaches: [] };
  const cutOff = faultSpans(facts, (fault) => fault.simulator === stay.simulator && faultKind(fault.kind).cutsOff);
  const aloneMs = uncovered({ fromMs: disowned.t, toMs: goneAtMs }, cutOff);
  if (aloneMs <= ORPHAN_MS) return judged();
  const why = `a prompt was on ${stay.simulator} for ${Math.round(aloneMs / 100) / 10} s without an owner`;
  return judged({ why, lines: [stay.started ?? stay.queued, disowned] });
}

/** The first line after which nobody owns the prompt any more. */
function disownedBy(facts: Facts, stay: Stay): Line | undefined {
  const { job, prompt } = stay;
  const rejoins = facts.about(job, "rejoined").filter((line) => line.prompt === prompt);
  const owner = Math.max(stay.epoch, ...rejoins.map(({ epoch }) => epoch));
  const ended = endsSeen(facts, job)[0]?.line;
  const replaced = [...facts.about(job, "submitted"), ...facts.about(job, "rejoined")].filter(
    (line) => line.epoch > owner && line.prompt !== prompt,
  );
  const fenced = facts.about(job, "fenced").filter(({ epoch }) => epoch === owner);
  return [...(ended ? [ended] : []), ...replaced, ...fenced].toSorted((a, b) => a.t - b.t)[0];
}
