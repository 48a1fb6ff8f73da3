import { CliError } from "../CliError.ts";
import { type LogFile, openLogFile } from "./logFile.ts";
import { type ChildEvent, type ChildPlan, type Supervised, superviseChild } from "./superviseChild.ts";

/** Who needs whom: a stage ends only when all before it in this list have, for they still use it. */
const STAGES = ["front", "comfyui", "redis"] as const;
export type Stage = (typeof STAGES)[number];

/** Longest each stage may take to end, in ms; together under 10 s. */
export const STOP_WITHIN_MS: Readonly<Record<Stage, number>> = { front: 5_000, comfyui: 1_000, redis: 2_000 };

/** The processes of one system. */
export interface Fleet {
  /**
   * Starts a process and keeps it running.
   * @returns what it said when it was up
   * @throws CliError when it could not start, or when the fleet is stopping
   */
  readonly add: <Ready>(stage: Stage, plan: ChildPlan<Ready>) => Promise<Ready>;
  /** Ends all of them in order; whoever does not end in time is killed. Safe to repeat. */
  readonly stop: (withinMs?: Readonly<Record<Stage, number>>) => Promise<void>;
  /** Kills all of them now. */
  readonly kill: () => Promise<void>;
}

/** A fleet without processes. @param logFolder absolute; one log file per process */
export function createFleet(logFolder: string, onEvent: (event: ChildEvent) => void): Fleet {
  const members: { readonly stage: Stage; readonly child: Supervised<unknown>; readonly log: LogFile }[] = [];
  let isStopping = false;
  const stopStage = (stage: Stage, withinMs: number): Promise<unknown> =>
    Promise.all(members.filter((member) => member.stage === stage).map(({ child }) => child.stop(withinMs)));
  return {
    add(stage, plan) {
      if (isStopping) throw new CliError("broken", `${plan.name} was not started: comfyq is stopping`);
      const log = openLogFile(logFolder, plan.name);
      const child = superviseChild(plan, log, onEvent);
      members.push({ stage, child, log });
      return child.ready;
    },
    async stop(withinMs = STOP_WITHIN_MS) {
      isStopping = true;
      for (const stage of STAGES) await stopStage(stage, withinMs[stage]);
      await Promise.all(members.map(({ log }) => log.close()));
    },
    async kill() {
      isStopping = true;
      await Promise.all(STAGES.map((stage) => stopStage(stage, 0)));
    },
  };
}
