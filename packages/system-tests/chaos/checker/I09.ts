import type { Facts } from "./facts.ts";
import { type Finding, judged, sum } from "./judgement.ts";

/**
 * I9. A tenant sees its own only. Whatever another tenant asks about a job (read, list, watch, cancel, retry, fetch), the
 * answer is the one for a job that does not exist. Answers of an API that is in trouble say nothing.
 */
export function checkI09(facts: Facts): Finding {
  return sum(
    facts
      .of("peek")
      .filter(({ owner, by, status }) => owner !== by && status > 0 && status < 500)
      .map((peek) => {
        const isBlind = !peek.found && (peek.what === "list" || peek.status === 404);
        return judged(
          isBlind ? undefined : { why: `${peek.by} could ${peek.what} a job of ${peek.owner}`, lines: [peek] },
        );
      }),
  );
}
