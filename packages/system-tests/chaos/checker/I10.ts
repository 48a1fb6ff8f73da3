import type { LineOf } from "../history.ts";
import { endsSeen, type Facts } from "./facts.ts";
import { type Breach, type Finding, judged, sum } from "./judgement.ts";

/**
 * I10. Progress never goes back within an attempt, nor do attempts, for one watcher over all its reconnections by
 * Last-Event-ID; and no watcher of a job that ended misses the end.
 */
export function checkI10(facts: Facts): Finding {
  const watchers = Map.groupBy(facts.of("watching"), ({ watcher }) => watcher);
  return sum(
    [...watchers.values()].flatMap(([watching]) => {
      if (!watching) return [];
      const progress = facts.about(watching.job, "progress").filter(({ watcher }) => watcher === watching.watcher);
      return judged(wentBack(progress), missedEnd(facts, watching));
    }),
  );
}

function wentBack(progress: readonly LineOf<"progress">[]): Breach | undefined {
  const at = progress.findIndex((line, index) => {
    const before = progress[index - 1];
    if (!before) return false;
    return line.attempt < before.attempt || (line.attempt === before.attempt && line.value < before.value);
  });
  return at < 0 ? undefined : { why: "progress went back", lines: progress.slice(at - 1, at + 1) };
}

function missedEnd(facts: Facts, watching: LineOf<"watching">): Breach | undefined {
  const end = endsSeen(facts, watching.job)[0]?.line;
  const saw = facts.about(watching.job, "terminal").some(({ watcher }) => watcher === watching.watcher);
  return saw || !end ? undefined : { why: "its watcher was never told the end", lines: [watching, end] };
}
