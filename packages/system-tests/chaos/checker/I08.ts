import type { Facts } from "./facts.ts";
import { type Finding, judged, sum } from "./judgement.ts";

/**
 * I8. Everything returns to nothing. When all is quiet, what was counted (temporary files, half uploads, prompts and
 * history in ComfyUI, locks and queues in Redis) is back to what the harness allows for it.
 */
export function checkI08(facts: Facts): Finding {
  return sum(
    facts.of("baseline").map((line) => {
      const { what, found, allowed } = line;
      return judged(
        found > allowed ? { why: `${found} ${what} are left, ${allowed} allowed`, lines: [line] } : undefined,
      );
    }),
  );
}
