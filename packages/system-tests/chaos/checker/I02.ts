import { isTerminal } from "@comfyq/contract";
import { type EndSeen, endsSeen, type Facts } from "./facts.ts";
import { type Breach, type Finding, judged, sum } from "./judgement.ts";

/**
 * I2. Exactly one terminal status per job, for good. Whoever says how a job ended says the same: its worker, the API,
 * event streams, webhooks. One worker ends it, once, and nobody who asks after the end hears that it goes on.
 */
export function checkI02(facts: Facts): Finding {
  return sum(
    facts.accepted.map(({ job }) => {
      const ends = endsSeen(facts, job);
      const [first] = ends;
      if (!first) return { judged: 0, breaches: [] };
      return judged(anotherEnd(first, ends), endedTwice(facts, job), lifeAfter(facts, job, first));
    }),
  );
}

function anotherEnd(first: EndSeen, ends: readonly EndSeen[]): Breach | undefined {
  const other = ends.find(({ status }) => status !== first.status);
  return other && { why: `it ended as ${first.status} and as ${other.status}`, lines: [first.line, other.line] };
}

function endedTwice(facts: Facts, job: string): Breach | undefined {
  const lines = facts
    .about(job, "settled")
    .filter(({ outcome, ended }) => ended && ["succeeded", "failed"].includes(outcome));
  return lines.length > 1 ? { why: "two attempts have ended it", lines } : undefined;
}

function lifeAfter(facts: Facts, job: string, { line: end }: EndSeen): Breach | undefined {
  const late = facts
    .about(job, "observed")
    .find(({ status, asked }) => asked > end.t && (status === "gone" || !isTerminal(status)));
  return late && { why: `it was ${late.status} after its end`, lines: [end, late] };
}
