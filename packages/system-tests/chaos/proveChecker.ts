import { BREAKS, type Break } from "./breaks.ts";
import type { Invariant } from "./checker/judgement.ts";
import { removeTraces, startFleet } from "./fleet.ts";
import { describeBreaches } from "./report.ts";
import type { RoundResult } from "./round.ts";
import { playScript } from "./stage.ts";

/** What the checker said of one broken build, and of the same story with nothing broken. */
export interface Proof {
  readonly name: string;
  readonly invariant: Invariant;
  /** Invariants it named in the broken build. */
  readonly named: readonly Invariant[];
  /** Invariants it named although nothing was broken. */
  readonly falselyNamed: readonly Invariant[];
  /** Was there anything to judge in the sound build? */
  readonly isExercised: boolean;
}

export interface ProofOptions {
  readonly say: (line: string) => void;
  /** Only this one. */
  readonly only?: string | undefined;
}

/** Plays each story with its part broken and sound, and shows what the checker says. @returns is it worth having? */
export async function proveChecker({ say, only }: ProofOptions): Promise<boolean> {
  let isProven = true;
  for (const each of BREAKS.filter(({ name }) => only === undefined || name === only)) {
    const startedAtMs = performance.now();
    const proof = await prove(each, say);
    isProven &&= isGood(proof);
    const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
    const sound = proof.falselyNamed.length > 0 ? `FALSELY ${proof.falselyNamed.join(" ")}` : "holds";
    const broken = `broken: ${proof.named.join(" ") || "NOTHING"}`;
    say(
      `${isGood(proof) ? "ok " : "BAD"} ${each.invariant.padEnd(4)}${each.name.padEnd(28)}${broken.padEnd(24)}sound: ${sound}  ${seconds} s`,
    );
  }
  return isProven;
}

/** The broken build is caught by its invariant; the sound one keeps all of them, and that one was put to the test. */
export function isGood({ invariant, named, falselyNamed, isExercised }: Proof): boolean {
  return named.includes(invariant) && falselyNamed.length === 0 && isExercised;
}

/** @param say told of breaches in the sound build, which are ours to mend */
export async function prove(each: Break, say: (line: string) => void): Promise<Proof> {
  const { name, invariant } = each;
  const [broken, sound] = [await playBuild(each, name), await playBuild(each, "")];
  const falselyNamed = violatedIn(sound);
  if (falselyNamed.length > 0) say(describeBreaches(sound.judgements));
  const judged = sound.judgements.find((judgement) => judgement.invariant === invariant);
  return { name, invariant, named: violatedIn(broken), falselyNamed, isExercised: judged?.verdict === "holds" };
}

async function playBuild({ workers, script }: Break, breaks: string): Promise<RoundResult> {
  const fleet = await startFleet({ workers, breaks, onTrouble: () => {} });
  try {
    return await playScript(fleet, script);
  } finally {
    await fleet[Symbol.asyncDispose]();
    await removeTraces(fleet);
  }
}

function violatedIn({ judgements }: RoundResult): readonly Invariant[] {
  return judgements.filter(({ verdict }) => verdict === "violated").map(({ invariant }) => invariant);
}
