import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { check } from "./checker/check.ts";
import { closeFleets, type Fleet, removeTraces, startFleet } from "./fleet.ts";
import { parseHistory } from "./history.ts";
import { planFaults } from "./nemesis.ts";
import { proveChecker } from "./proveChecker.ts";
import { describeBreaches, openTally } from "./report.ts";
import { playRound, type RoundResult } from "./round.ts";
import { planJobs } from "./workload.ts";

const HELP = `npm run chaos -- [--minutes N] [--seed S] [--round K] [--rounds N] [--breaks a,b] [--workers N] [--clouds N] [--keep]
npm run chaos -- --prove-checker [--only name]
npm run chaos -- --judge FILE

Plays rounds of customers and faults against real processes, and judges I1 to I12 after each.
--minutes       how long (1)
--seed          what all chance comes from; printed, and the same again for the same one (the time)
--round         the round to begin with (1); with --rounds 1 it replays one round
--rounds        at most so many rounds
--breaks        COMFYQ_BREAKS for all processes: parts broken on purpose
--workers       workers, each with its simulator (3)
--clouds        so many of them, the last ones, drive a simulated Comfy Cloud (0)
--keep          leaves the run's folder, with the history and all, where it is
--prove-checker runs every broken build and shows that the checker names its invariant
--judge         judges a history that was kept`;

const say = (line: string) => process.stdout.write(`${line}\n`);

interface Settings {
  readonly seed: number;
  readonly minutes: number;
  readonly firstRound: number;
  readonly rounds: number;
  readonly breaks: string;
  readonly workers: number;
  readonly clouds: number;
  readonly keep: boolean;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "1" },
      seed: { type: "string", default: String(Date.now() % 1_000_000) },
      round: { type: "string", default: "1" },
      rounds: { type: "string", default: "1000000" },
      breaks: { type: "string", default: "" },
      workers: { type: "string", default: "3" },
      clouds: { type: "string", default: "0" },
      keep: { type: "boolean", default: false },
      only: { type: "string" },
      judge: { type: "string" },
      "prove-checker": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    say(HELP);
    return 0;
  }
  if (values.judge !== undefined) return judge(values.judge);
  if (values["prove-checker"]) return (await proveChecker({ say, only: values.only })) ? 0 : 1;
  return run({
    seed: Number(values.seed),
    minutes: Number(values.minutes),
    firstRound: Number(values.round),
    rounds: Number(values.rounds),
    breaks: values.breaks,
    workers: Number(values.workers),
    clouds: Number(values.clouds),
    keep: values.keep,
  });
}

/** @returns the exit code: 1 when something was violated */
async function judge(path: string): Promise<number> {
  const judgements = check(parseHistory(await readFile(path, "utf8")));
  const tally = openTally();
  tally.add(judgements);
  say(`${tally.table()}\n${describeBreaches(judgements)}`);
  return tally.isClean() ? 0 : 1;
}

/** Rounds until the time is over. @returns the exit code: 1 when something was violated */
async function run(settings: Settings): Promise<number> {
  const { seed, minutes, firstRound, rounds, keep } = settings;
  say(`seed ${seed}, for ${minutes} min`);
  const untilMs = performance.now() + minutes * 60_000;
  const tally = openTally();
  let fleet = await open(settings);
  for (let round = firstRound; round < firstRound + rounds && performance.now() < untilMs; round++) {
    const result = await playOne(fleet, settings, round);
    tally.add(result.judgements);
    if (result.unanswered > 0) say(`  ! ${result.unanswered} submissions were never taken`);
    if (result.unanswered === 0 && result.judgements.every(({ verdict }) => verdict !== "violated")) continue;
    await keepEvidence(fleet, settings, { round, result });
    // What was violated may be left in a state that says nothing about the next round.
    await close(fleet, keep);
    fleet = await open(settings);
  }
  await close(fleet, keep);
  say(`\nseed ${seed}\n${tally.table()}`);
  return tally.isClean() ? 0 : 1;
}

function open({ workers, clouds, breaks }: Settings): Promise<Fleet> {
  return startFleet({ workers, clouds, breaks, onTrouble: (what) => say(`  ! ${what}`) });
}

async function close(fleet: Fleet, keep: boolean): Promise<void> {
  await fleet[Symbol.asyncDispose]();
  if (keep) say(`left in ${fleet.dir}`);
  else await removeTraces(fleet);
}

async function playOne(fleet: Fleet, { seed, workers }: Settings, round: number): Promise<RoundResult> {
  const startedAtMs = performance.now();
  say(`round ${round}`);
  const plan = { seed, round, jobs: planJobs(seed, round), faults: planFaults(seed, round, workers) };
  const result = await playRound(fleet, plan, { say });
  const violated = result.judgements.filter(({ verdict }) => verdict === "violated").map(({ invariant }) => invariant);
  const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1);
  say(`  ${result.jobs} jobs, ${seconds} s: ${violated.length === 0 ? "all hold" : `VIOLATED ${violated.join(", ")}`}`);
  return result;
}

interface Evidence {
  readonly round: number;
  readonly result: RoundResult;
}

/** The round's history and everybody's logs, where they outlive the run. */
async function keepEvidence(fleet: Fleet, { seed }: Settings, { round, result }: Evidence): Promise<void> {
  const stem = join(tmpdir(), `chaos-seed${seed}-round${round}`);
  await writeFile(`${stem}.jsonl`, result.lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  await writeFile(`${stem}.log`, fleet.actors.map((actor) => `=== ${actor.name}\n${actor.log()}`).join("\n"));
  say(describeBreaches(result.judgements));
  say(`  history: ${stem}.jsonl, logs: ${stem}.log`);
  say(`  again:   npm run chaos -- --seed ${seed} --round ${round} --rounds 1`);
}

/** Nothing that was started outlives this process. */
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    say("stopping");
    void closeFleets().finally(() => process.exit(130));
  });

try {
  process.exitCode = await main();
} finally {
  await closeFleets();
}
