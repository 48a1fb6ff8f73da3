/**
 * K1…K12 of reference/faults.md §2.3, and more where the API and the dispatcher may die, each with a name that can
 * be read: the moment just after which it strikes.
 */
export const FAIL_POINTS = {
  accepted_not_queued: "K0a", // the API has judged a submission, nothing is written
  queued_not_answered: "K0b", // the job is queued, the client has not heard
  batch_committed: "K0c", // a batch is durable, none of its jobs is made
  batch_step: "K0d", // fifty more jobs of a batch are made, or asked to end
  claimed: "K1", // after the job was fetched, before any write
  inputs_downloading: "K2",
  uploaded: "K3", // after /upload, before the journal
  ahead_inputs_downloading: "K2a", // the same two for a job that is not claimed yet
  ahead_uploaded: "K3a",
  journaled: "K4", // journal written, prompt not sent
  submitted: "K5", // prompt sent, answer not read
  executing: "K6",
  rendered: "K7", // execution_success seen, history not read
  output_stored: "K8", // between the first and the second output
  outputs_stored: "K9", // all outputs stored, manifest not written
  sealed: "K10", // manifest written, terminal state not set
  settled: "K11", // terminal state set, not acknowledged
  told_one: "K11c", // a webhook queued for one of those who are told
  became_idle: "K11g", // the last of a tenant's jobs has ended, nobody was told that it was the last
  announced: "K11b", // webhook queued, the settlement not acknowledged
  row_noted: "K11d", // the end of a row is noted in its batch, nobody is told
  batch_told: "K11e", // the end of a batch is queued for all who are told
  delivery_opened: "K11f", // the try is noted, nothing is sent
  delivered: "K12", // webhook sent, delivery not recorded
  delivery_noted: "K12a", // what came of the try is noted, BullMQ does not know
  endpoint_disabled: "K12b", // an endpoint is disabled, nobody was told of that
  tick_due: "K13a", // a schedule's moment is due, nothing is decided
  tick_decided: "K13b", // its moment is decided, its job not made
  tick_canceled: "K13c", // jobs that make way for it were canceled
  tick_submitted: "K13d", // its job is made, the history does not say so
  tick_finished: "K13e", // the history says so, the next moment is not looked for
  missed_told: "K13f", // news of missed moments is queued, and not noted as told
} as const;

export type FailPointName = keyof typeof FAIL_POINTS;

/** What a fail point does when it strikes. */
export type FailPointAction =
  | { readonly kind: "kill9" | "exit1" | "throw" | "hang" }
  | { readonly kind: "delay" | "block"; readonly ms: number };

/** One rule of FAILPOINT. */
export interface FailPointRule {
  readonly name: FailPointName;
  readonly action: FailPointAction;
  /** Which arrival strikes, from 1; Infinity: each (`@*`). */
  readonly at: number;
}

/**
 * Reads `<name>:<action>@<n>[,…]`: `sealed:kill9`, `K6:delay:500@2`, `executing:block:45000,claimed:throw@*`.
 * Names are those of FAIL_POINTS or their K…; without `@` the first arrival strikes.
 * @throws Error naming the part that cannot be read and what may stand there
 */
export function parseFailPoints(text: string): readonly FailPointRule[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseRule);
}

function parseRule(part: string): FailPointRule {
  const found = /^(\w+):(?:(kill9|exit1|throw|hang)|(delay|block):(\d+))(?:@(\d+|\*))?$/.exec(part);
  const [, word = "", plain, timed, ms, at = "1"] = found ?? [];
  const name = Object.entries(FAIL_POINTS).find(([readable, k]) => word === readable || word === k)?.[0];
  if (!name) {
    const names = Object.keys(FAIL_POINTS).join(", ");
    throw new Error(
      `FAILPOINT "${part}" is not <name>:<action>@<n>; names: ${names}; ` +
        "actions: kill9, exit1, throw, hang, delay:<ms>, block:<ms>",
    );
  }
  return {
    name: name as FailPointName, // Object.entries forgets the keys' type
    action: plain
      ? { kind: plain as "kill9" } // one of the four words of the pattern
      : { kind: timed as "delay", ms: Number(ms) }, // one of the two
    at: at === "*" ? Number.POSITIVE_INFINITY : Number(at),
  };
}
