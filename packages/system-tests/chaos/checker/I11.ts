import type { LineOf } from "../history.ts";
import type { Facts } from "./facts.ts";
import { ORPHAN_MS } from "./I04.ts";
import { type Breach, type Finding, judged, sum } from "./judgement.ts";
import type { Stay } from "./stays.ts";

/**
 * I11. One prompt of ours per instance, and one prompt per attempt. Two are together on one instance only while the older
 * one is being canceled by whoever took over; an attempt has one prompt id, which is submitted once however its answer
 * was lost. A cloud may give it another one than was asked for, and has room for many.
 */
export function checkI11(facts: Facts): Finding {
  const clouds = new Set(facts.of("queued").flatMap(({ actor, dialect }) => (dialect === "cloud" ? [actor] : [])));
  const local = facts.stays.filter(({ simulator }) => !clouds.has(simulator));
  const instances = Map.groupBy(local, ({ simulator }) => simulator);
  const attempts = Map.groupBy(facts.stays, ({ job, epoch }) => `${job} ${epoch}`);
  return sum([
    ...[...instances.values()].flatMap((stays) => stays.map((stay, at) => judged(crowded(stay, stays.slice(at + 1))))),
    ...[...attempts.values()].map((stays) => judged(severalPrompts(stays))),
    ...[...Map.groupBy(named(facts), ({ job, epoch }) => `${job} ${epoch}`).values()].map((lines) =>
      judged(renamed(lines)),
    ),
  ]);
}

/** @param later prompts queued after `stay` on the same instance */
function crowded(stay: Stay, later: readonly Stay[]): Breach | undefined {
  const next = later.find(({ queued }) => queued.t < stay.goneAtMs);
  if (!next) return undefined;
  const wasCanceled = stay.how === "removed" || stay.status === "interrupted";
  if (wasCanceled && stay.goneAtMs - next.queued.t <= ORPHAN_MS) return undefined;
  const why = `two prompts of ours were on ${stay.simulator} at once`;
  return { why, lines: [stay.started ?? stay.queued, next.queued] };
}

function severalPrompts(stays: readonly Stay[]): Breach | undefined {
  return stays.length < 2
    ? undefined
    : { why: "one attempt was submitted more than once", lines: stays.map(({ queued }) => queued) };
}

type Named = LineOf<"journaled"> | LineOf<"submitted">;

function named(facts: Facts): readonly Named[] {
  return [...facts.of("journaled"), ...facts.of("submitted")];
}

function renamed(lines: readonly Named[]): Breach | undefined {
  const asked = lines.map((line) => ("asked" in line ? line.asked : undefined) ?? line.prompt);
  return new Set(asked).size < 2 ? undefined : { why: "one attempt has several prompt ids", lines };
}
