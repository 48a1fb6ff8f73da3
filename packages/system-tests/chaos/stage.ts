import { Job } from "@comfyq/contract";
import { type Accepted, ask, submit } from "./customer.ts";
import { throwDice } from "./dice.ts";
import type { FaultName } from "./faultKinds.ts";
import { strike } from "./faults/strike.ts";
import type { Fleet } from "./fleet.ts";
import { orderOf } from "./graphs.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import { quiesce } from "./quiesce.ts";
import { conclude, type RoundResult } from "./round.ts";
import { watch } from "./watcher.ts";
import type { JobPlan } from "./workload.ts";

/** What a script of one job or two can do with a fleet. */
export interface Stage {
  readonly fleet: Fleet;
  /** Submits a job of tenant alpha; `serial` decides what it makes. */
  submit(plan: Partial<JobPlan>): Promise<Accepted>;
  /** Follows the job's events until its end, in the background. */
  watch(job: Accepted): void;
  read(job: Accepted): Promise<Job | undefined>;
  /** Waits until the job is so, or the time is over. @returns is it so? */
  until(job: Accepted, isSo: (seen: Job) => boolean, withinMs?: number): Promise<boolean>;
  /** Waits for anything, or until the time is over. */
  wait(isSo: () => boolean | Promise<boolean>, withinMs: number): Promise<boolean>;
  /** Begins a fault at a station. @returns heals it */
  strike(kind: FaultName, station?: number): Promise<() => Promise<void>>;
}

export type Script = (stage: Stage) => Promise<void>;

const PLAN: JobPlan = {
  serial: 1,
  kind: "picture",
  tenant: "alpha",
  atMs: 0,
  renderMs: 300,
  webhook: true,
  repeated: false,
  cancelAfterMs: undefined,
  watched: false,
  peeked: false,
};
const LOOK_EVERY_MS = 30;
/** A broken build may never come to an end. */
const QUIET_WITHIN_MS = 6_000;

let scripts = 0;

/** Plays a script, waits for quiet, and judges what happened. */
export async function playScript(fleet: Fleet, script: Script): Promise<RoundResult> {
  scripts += 1;
  const number = scripts;
  const from = fleet.history.sizeBytes();
  fleet.history.note("harness", { op: "round", seed: 0, round: number, breaks: "" });
  const leaving = new AbortController();
  const watchers = new Set<Promise<void>>();
  const ledger = openLedger(fleet);
  const followed = ledger.follow(leaving.signal);
  await script(openStage(fleet, { number, ledger, watchers, signal: leaving.signal }));
  await quiesce(fleet, { ledger, watching: () => watchers.size, withinMs: QUIET_WITHIN_MS });
  leaving.abort();
  await Promise.all([followed, ...watchers]);
  return conclude(fleet, ledger, from);
}

interface Cast {
  /** Of the script, among all. */
  readonly number: number;
  readonly ledger: Ledger;
  readonly watchers: Set<Promise<void>>;
  readonly signal: AbortSignal;
}

function openStage(fleet: Fleet, { number, ledger, watchers, signal }: Cast): Stage {
  let submitted = 0;
  const read = async ({ id, tenant }: Accepted) => {
    const { status, body } = await ask(fleet, tenant, `/v1/jobs/${id}`);
    return status === 200 ? Job.parse(body) : undefined;
  };
  const wait: Stage["wait"] = async (isSo, withinMs) => {
    const untilMs = performance.now() + withinMs;
    while (performance.now() < untilMs) {
      if (await isSo()) return true;
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    return false;
  };
  return {
    fleet,
    read,
    wait,
    submit: async (changes) => {
      const plan = { ...PLAN, ...changes };
      submitted += 1;
      const order = orderOf(plan, { hook: fleet.receiver.hookOf(plan.tenant), pictureUrl: fleet.receiver.pictureUrl });
      const key = `script-${number}-${submitted}`;
      const untilMs = performance.now() + QUIET_WITHIN_MS;
      const job = await submit(fleet, { tenant: plan.tenant, kind: plan.kind, order, key, untilMs });
      if (!job) throw new Error(`a ${plan.kind} was refused`);
      ledger.add(job);
      return job;
    },
    watch: (job) => {
      const watched = watch(fleet, { job, watcher: `watcher-${number}`, dice: throwDice(number), signal }).finally(
        () => {
          watchers.delete(watched);
        },
      );
      watchers.add(watched);
    },
    until: (job, isSo, withinMs = QUIET_WITHIN_MS) =>
      wait(async () => {
        const seen = await read(job);
        return seen !== undefined && isSo(seen);
      }, withinMs),
    strike: (kind, station = 0) => strike(fleet, { kind, station, atMs: 0, lastsMs: 0, point: "claimed" }),
  };
}
