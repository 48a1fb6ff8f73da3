import type { Line } from "../history.ts";
import { type Facts, readFacts } from "./facts.ts";
import { checkI01 } from "./I01.ts";
import { checkI02 } from "./I02.ts";
import { checkI03 } from "./I03.ts";
import { checkI04 } from "./I04.ts";
import { checkI05 } from "./I05.ts";
import { checkI06 } from "./I06.ts";
import { checkI07 } from "./I07.ts";
import { checkI08 } from "./I08.ts";
import { checkI09 } from "./I09.ts";
import { checkI10 } from "./I10.ts";
import { checkI11 } from "./I11.ts";
import { checkI12 } from "./I12.ts";
import { type Finding, INVARIANTS, type Invariant, type Judgement, verdictOf } from "./judgement.ts";

const CHECKS: Readonly<Record<Invariant, (facts: Facts) => Finding>> = {
  I1: checkI01,
  I2: checkI02,
  I3: checkI03,
  I4: checkI04,
  I5: checkI05,
  I6: checkI06,
  I7: checkI07,
  I8: checkI08,
  I9: checkI09,
  I10: checkI10,
  I11: checkI11,
  I12: checkI12,
};

/** Judges a history, and nothing else: pure. @param history in the order of its moments, as `parseHistory` gives it */
export function check(history: readonly Line[]): readonly Judgement[] {
  const facts = readFacts(history);
  return INVARIANTS.map((invariant) => {
    const finding = CHECKS[invariant](facts);
    return { invariant, verdict: verdictOf(finding), ...finding };
  });
}
