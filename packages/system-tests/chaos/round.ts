import { noteBaselines } from "./baseline.ts";
import { check } from "./checker/check.ts";
import type { Judgement } from "./checker/judgement.ts";
import { type Accepted, cancel, peek, submit } from "./customer.ts";
import { throwDice } from "./dice.ts";
import { strike } from "./faults/strike.ts";
import type { Fleet } from "./fleet.ts";
import { orderOf } from "./graphs.ts";
import type { Line } from "./history.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import { describeFault, type FaultPlan } from "./nemesis.ts";
import { quiesce } from "./quiesce.ts";
import { noteStore } from "./snapshot.ts";
import { watch } from "./watcher.ts";
import type { JobPlan } from "./workload.ts";

export interface RoundPlan {
  readonly seed: number;
  readonly round: number;
  readonly jobs: readonly JobPlan[];
  readonly faults: readonly FaultPlan[];
}

export interface RoundOptions {
  /** Told of each fault as it begins. */
  readonly say: (line: string) => void;
  /** Longest wait for the end of every job. Default 120 s. */
  readonly quietWithinMs?: number;
}

export interface RoundResult {
  readonly judgements: readonly Judgement[];
  readonly lines: readonly Line[];
  readonly jobs: number;
  /** Submissions that the API could not take although everything was healed: no promise broken, and a trouble all the same. */
  readonly unanswered: number;
}

const QUIET_WITHIN_MS = 120_000;
/** Jobs this fleet was given, over all rounds: what may be left of them in Redis. */
const jobsEver = new WeakMap<Fleet, number>();

/** Customers and nemesis at work together; then quiet; then judgement, from the lines of this round alone. */
export async function playRound(fleet: Fleet, plan: RoundPlan, options: RoundOptions): Promise<RoundResult> {
  const from = fleet.history.sizeBytes();
  const { seed, round } = plan;
  const withinMs = options.quietWithinMs ?? QUIET_WITHIN_MS;
  fleet.history.note("harness", { op: "round", seed, round, breaks: "" });
  const troupe = openTroupe(fleet, plan, performance.now() + withinMs);
  const following = new AbortController();
  const followed = troupe.ledger.follow(following.signal);
  await Promise.all([
    ...plan.jobs.map((job, at) => troupe.play(job, at)),
    ...plan.faults.map((fault) => afflict(fleet, fault, options)),
  ]);
  await quiesce(fleet, { ledger: troupe.ledger, watching: () => troupe.watching(), withinMs });
  following.abort();
  await Promise.all([followed, troupe.close()]);
  return conclude(fleet, troupe.ledger, from);
}

/** Takes stock and judges. @param from where the round began in the history */
export async function conclude(fleet: Fleet, ledger: Ledger, from: number): Promise<RoundResult> {
  const jobs = ledger.jobs();
  jobsEver.set(fleet, (jobsEver.get(fleet) ?? 0) + jobs.length);
  await noteStore(fleet, jobs);
  await noteBaselines(fleet, jobsEver.get(fleet) ?? 0);
  const lines = fleet.history.since(from);
  const unanswered = lines.filter((line) => line.op === "refused" && (line.status === 0 || line.status >= 500)).length;
  return { judgements: check(lines), lines, jobs: jobs.length, unanswered };
}

/** One fault from its beginning to its healing. */
async function afflict(fleet: Fleet, plan: FaultPlan, { say }: RoundOptions): Promise<void> {
  await pause(plan.atMs);
  say(`  ${describeFault(plan)}`);
  try {
    const heal = await strike(fleet, plan);
    await pause(plan.lastsMs);
    await heal();
  } catch (error) {
    say(`  ${plan.kind} met another fault in its way: ${error instanceof Error ? error.message : String(error)}`);
  }
}

interface Troupe {
  readonly ledger: Ledger;
  /** Plays one customer's part: submits, perhaps twice; cancels, watches, lets the other tenant peek. */
  play(plan: JobPlan, at: number): Promise<void>;
  watching(): number;
  /** Sends the watchers home. */
  close(): Promise<void>;
}

function openTroupe(fleet: Fleet, { seed, round }: RoundPlan, untilMs: number): Troupe {
  const ledger = openLedger(fleet);
  const leaving = new AbortController();
  const watchers = new Set<Promise<void>>();
  const follow = (job: Accepted, watcher: string) => {
    const dice = throwDice(seed, round, watcher);
    const watched = watch(fleet, { job, watcher, dice, signal: leaving.signal }).finally(() => {
      watchers.delete(watched);
    });
    watchers.add(watched);
  };
  return {
    ledger,
    play: async (plan, at) => {
      const { tenant, kind } = plan;
      await pause(plan.atMs);
      const order = orderOf(plan, { hook: fleet.receiver.hookOf(tenant), pictureUrl: fleet.receiver.pictureUrl });
      const submission = { tenant, kind, order, key: `${seed}-${round}-${at}`, untilMs };
      const job = await submit(fleet, submission);
      if (!job) return;
      ledger.add(job);
      if (plan.watched) follow(job, `watcher-${at}`);
      if (plan.repeated) await submit(fleet, submission);
      if (plan.peeked) await peek(fleet, job);
      if (plan.cancelAfterMs === undefined) return;
      await pause(plan.cancelAfterMs);
      await cancel(fleet, job, untilMs);
    },
    watching: () => watchers.size,
    close: async () => {
      leaving.abort();
      await Promise.all(watchers);
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
