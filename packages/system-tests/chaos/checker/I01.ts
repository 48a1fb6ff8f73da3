import type { Facts } from "./facts.ts";
import { type Finding, judged, sum } from "./judgement.ts";

/**
 * I1. A job answered with 2xx reaches an end; nothing disappears. When everything is healed and quiet, whoever asks for an
 * accepted job is told a terminal status: not "running" for ever, and never "there is no such job".
 */
export function checkI01(facts: Facts): Finding {
  return sum(
    facts.accepted.map((accepted) => {
      const last = facts.about(accepted.job, "observed").at(-1);
      if (last === undefined) return judged({ why: "it was accepted and never seen again", lines: [accepted] });
      if (last.status === "gone") return judged({ why: "it was accepted and is gone", lines: [accepted, last] });
      const isOpen = ["queued", "running", "canceling"].includes(last.status);
      return judged(isOpen ? { why: `it never ended: still ${last.status}`, lines: [accepted, last] } : undefined);
    }),
  );
}
