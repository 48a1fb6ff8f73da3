import { INVARIANTS, type Invariant, type Judgement } from "./checker/judgement.ts";

/** What was found over many rounds. */
export interface Tally {
  add(judgements: readonly Judgement[]): void;
  /** One line per invariant: its verdict, how much was judged, in how many rounds. */
  table(): string;
  isClean(): boolean;
}

interface Row {
  judged: number;
  rounds: number;
  violated: number;
}

export function openTally(): Tally {
  const rows = new Map<Invariant, Row>(INVARIANTS.map((name) => [name, { judged: 0, rounds: 0, violated: 0 }]));
  return {
    add: (judgements) => {
      for (const { invariant, verdict, judged } of judgements) {
        const row = rows.get(invariant);
        if (!row) continue;
        row.judged += judged;
        row.rounds += verdict === "not exercised" ? 0 : 1;
        row.violated += verdict === "violated" ? 1 : 0;
      }
    },
    table: () => [...rows].map(([name, row]) => `${name.padEnd(4)}${describe(row)}`).join("\n"),
    isClean: () => [...rows.values()].every(({ violated }) => violated === 0),
  };
}

function describe({ judged, rounds, violated }: Row): string {
  if (rounds === 0) return "not exercised";
  const seen = `${judged} judged in ${rounds} ${rounds === 1 ? "round" : "rounds"}`;
  return violated === 0 ? `holds     ${seen}` : `VIOLATED  in ${violated} of ${rounds} rounds`;
}

/** At most so many breaches of one invariant are shown; the history has all. */
const SHOWN = 3;

/** What was violated, with the lines that show it. */
export function describeBreaches(judgements: readonly Judgement[]): string {
  return judgements
    .filter(({ breaches }) => breaches.length > 0)
    .flatMap(({ invariant, breaches }) => [
      `${invariant} violated ${breaches.length} times:`,
      ...breaches
        .slice(0, SHOWN)
        .flatMap(({ why, lines }) => [`  ${why}`, ...lines.map((line) => `    ${JSON.stringify(line)}`)]),
    ])
    .join("\n");
}
