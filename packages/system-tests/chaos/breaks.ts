import { isTerminal } from "@comfyq/contract";
import * as z from "zod";
import type { Invariant } from "./checker/judgement.ts";
import { cancel, peek } from "./customer.ts";
import type { Script, Stage } from "./stage.ts";

/** A part broken on purpose (COMFYQ_BREAKS), the promise it breaks, and the shortest story that shows it. */
export interface Break {
  readonly name: string;
  readonly invariant: Invariant;
  /** Workers the story needs; each has its simulator. */
  readonly workers: number;
  readonly script: Script;
}

/** Enough for one short job, also on a machine that is busy with other things. */
const SOON_MS = 8_000;

const oneJob: Script = async (stage) => {
  const job = await stage.submit({});
  await stage.until(job, ({ status }) => isTerminal(status));
};

const canceledTooLate: Script = async (stage) => {
  const job = await stage.submit({});
  await stage.until(job, ({ status }) => isTerminal(status));
  await cancel(stage.fleet, job, performance.now() + SOON_MS);
};

const watched: Script = async (stage) => stage.watch(await stage.submit({ renderMs: 1_200 }));

const peekedAt: Script = async (stage) => peek(stage.fleet, await stage.submit({}));

/** The answer to a prompt is lost, and for a while nobody can be asked what became of it. */
const lostAnswer: Script = async (stage) => {
  await stage.strike("prompt_answer_lost");
  const heal = await stage.strike("history_500");
  const job = await stage.submit({ renderMs: 1_000 });
  await stage.wait(() => isDoubled(stage), 6_000); // longer than the client's own looks
  await heal();
  await stage.until(job, ({ status }) => isTerminal(status));
};

/** Has ComfyUI been sent a second prompt? */
async function isDoubled({ fleet }: Stage): Promise<boolean> {
  const answer = await fetch(`${fleet.stations[0]?.simulatorUrl}/simulator/stats`);
  const { prompts } = z.object({ prompts: z.array(z.unknown()) }).parse(await answer.json());
  return prompts.length > 1;
}

const storeAway: Script = async (stage) => {
  const heal = await stage.strike("s3_errors");
  const job = await stage.submit({});
  await stage.until(job, ({ stage: at }) => at === "storing");
  await stage.wait(() => false, 2_500); // longer than the SDK's own tries
  await heal();
  await stage.until(job, ({ status }) => isTerminal(status));
};

/** Twice the same workflow; in between somebody empties ComfyUI's folder, and another job saves there. */
const sameNameOtherFile: Script = async (stage) => {
  for (const serial of [1, 2, 1]) {
    const job = await stage.submit({ serial });
    await stage.until(job, ({ status }) => isTerminal(status));
    if (serial === 1) await stage.strike("outputs_cleared");
  }
};

/** Until it has ended, or has met a third ComfyUI: then nobody counts. */
const poison: Script = async (stage) => {
  const job = await stage.submit({ kind: "poison", renderMs: 100, webhook: false });
  const livesBefore = stage.fleet.stations[0]?.simulator.lives() ?? 0;
  const isOver = async () => {
    const lives = stage.fleet.stations[0]?.simulator.lives() ?? 0;
    return lives > livesBefore + 2 || isTerminal((await stage.read(job))?.status ?? "queued");
  };
  await stage.wait(isOver, 4 * SOON_MS);
};

/** Longer than a prompt may outlive its owner. */
const ORPHAN_SEEN_MS = 17_000;

/** A worker is cut off from Redis in the middle of a render, which goes on for a minute if nobody stops it. */
const cutOff: Script = async (stage) => {
  const job = await stage.submit({ renderMs: 3_000 });
  await stage.until(job, ({ stage: at }) => at === "rendering");
  const home = (await stage.read(job))?.instance;
  const at = stage.fleet.stations.findIndex(({ toComfyUi }) => toComfyUi.url === home);
  await stage.strike("exec_slow", at);
  const thaw = await stage.strike("freeze_worker_redis", at);
  await stage.until(job, ({ status }) => isTerminal(status), 2 * SOON_MS);
  await stage.wait(async () => !(await isBusy(stage, at)), ORPHAN_SEEN_MS);
  await thaw();
};

async function isBusy({ fleet }: Stage, at: number): Promise<boolean> {
  const answer = await fetch(`${fleet.stations[at]?.simulatorUrl}/queue`);
  return (await answer.text()).includes("comfyq");
}

/** Every broken build, in the order of the promises. */
export const BREAKS: readonly Break[] = [
  { name: "ack_before_queue", invariant: "I1", workers: 1, script: oneJob },
  { name: "cancel_overrules_end", invariant: "I2", workers: 1, script: canceledTooLate },
  { name: "fresh_event_ids", invariant: "I3", workers: 1, script: oneJob },
  { name: "no_fence", invariant: "I4", workers: 2, script: cutOff },
  { name: "shared_output_folder", invariant: "I5", workers: 1, script: sameNameOtherFile },
  { name: "end_before_store", invariant: "I6", workers: 1, script: oneJob },
  { name: "no_poison_limit", invariant: "I7", workers: 1, script: poison },
  { name: "no_forget", invariant: "I8", workers: 1, script: oneJob },
  { name: "no_tenant_check", invariant: "I9", workers: 1, script: peekedAt },
  { name: "progress_jumps_back", invariant: "I10", workers: 1, script: watched },
  { name: "submit_blindly", invariant: "I11", workers: 1, script: lostAnswer },
  { name: "rerender_on_store_failure", invariant: "I12", workers: 1, script: storeAway },
];
