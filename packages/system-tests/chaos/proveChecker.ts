import { BREAKS, type Break } from "./breaks.ts";
import type { Invariant } from "./checker/judgement.ts";
import { type Fleet, removeTraces, startFleet } from "./fleet.ts";
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
  await using sound = openSoundFleets();
  const proofs = proveAll({ sound, say, only });
  for (const proof of proofs.values()) {
    isProven &&= isGood(await proof);
    say(describeProof(await proof));
  }
  return isProven;
}

/** Stories that are told at the same time: most of them wait most of the time. */
const AT_ONCE = 2;

/** Begins every proof, two at a time, each under its break's name. */
export function proveAll(
  stagehands: Stagehands & { readonly only?: string | undefined },
): ReadonlyMap<string, Promise<Proof>> {
  const lanes: Promise<unknown>[] = Array.from({ length: AT_ONCE }, async () => {});
  const chosen = BREAKS.filter(({ name }) => stagehands.only === undefined || name === stagehands.only);
  return new Map(
    chosen.map((each, at) => {
      const lane = at % AT_ONCE;
      const proof = (lanes[lane] ?? Promise.resolve()).then(() => prove(each, stagehands));
      lanes[lane] = proof.catch(() => {}); // told by its own test
      return [each.name, proof] as const;
    }),
  );
}

function describeProof(proof: Proof): string {
  const sound = proof.falselyNamed.length > 0 ? `FALSELY ${proof.falselyNamed.join(" ")}` : "holds";
  const broken = `broken: ${proof.named.join(" ") || "NOTHING"}`.padEnd(24);
  return `${isGood(proof) ? "ok " : "BAD"} ${proof.invariant.padEnd(4)}${proof.name.padEnd(28)}${broken}sound: ${sound}`;
}

/** Fleets without a broken part, one for each number of workers, where all stories are told soundly, one by one. */
export interface SoundFleets extends AsyncDisposable {
  play(story: Break): Promise<RoundResult>;
}

export function openSoundFleets(): SoundFleets {
  const fleets = new Map<number, Promise<Fleet>>();
  const stages = new Map<number, Promise<unknown>>();
  return {
    play: async ({ workers, script }) => {
      const fleet = fleets.get(workers) ?? startFleet({ workers, onTrouble: () => {} });
      fleets.set(workers, fleet);
      // one history slice each: two stories at once on one stage would be judged as one
      const played = (stages.get(workers) ?? Promise.resolve()).then(async () => playScript(await fleet, script));
      stages.set(
        workers,
        played.catch(() => {}),
      ); // told to who plays it
      return played;
    },
    [Symbol.asyncDispose]: async () => {
      for (const fleet of fleets.values()) await end(await fleet);
    },
  };
}

async function end(fleet: Fleet): Promise<void> {
  await fleet[Symbol.asyncDispose]();
  await removeTraces(fleet);
}

/** The broken build is caught by its invariant; the sound one keeps all of them, and that one was put to the test. */
function isGood({ invariant, named, falselyNamed, isExercised }: Proof): boolean {
  return named.includes(invariant) && falselyNamed.length === 0 && isExercised;
}

export interface Stagehands {
  readonly sound: SoundFleets;
  /** Told of breaches in the sound build: those are ours to mend. */
  readonly say: (line: string) => void;
}

/** Tells one story twice: with its part broken, in a fleet of its own, and soundly. */
async function prove(each: Break, { sound, say }: Stagehands): Promise<Proof> {
  const { name, invariant } = each;
  const broken = await playBroken(each);
  const healthy = await sound.play(each);
  const falselyNamed = violatedIn(healthy);
  if (falselyNamed.length > 0) say(describeBreaches(healthy.judgements));
  const judged = healthy.judgements.find((judgement) => judgement.invariant === invariant);
  return { name, invariant, named: violatedIn(broken), falselyNamed, isExercised: judged?.verdict === "holds" };
}

async function playBroken({ name, workers, script }: Break): Promise<RoundResult> {
  const fleet = await startFleet({ workers, breaks: name, onTrouble: () => {} });
  try {
    return await playScript(fleet, script);
  } finally {
    await end(fleet);
  }
}

function violatedIn({ judgements }: RoundResult): readonly Invariant[] {
  return judgements.filter(({ verdict }) => verdict === "violated").map(({ invariant }) => invariant);
}
