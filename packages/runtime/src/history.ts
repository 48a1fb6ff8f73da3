import { appendFileSync } from "node:fs";
import { monotonicMs } from "./clock.ts";
import { readSwitches } from "./env.ts";

/** What happened, in fields that the checker of the invariants knows (system-tests/chaos). */
export type HistoryFacts = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Undefined until the first note; then fixed for the life of the process. */
let target: { readonly file: string | undefined } | undefined;

/**
 * Adds one line to the history of a test: `{t, actor, op, …facts}`, `t` in Unix ms of this machine, `actor` this process's
 * id. Written before it returns, so that a kill -9 right after loses nothing; lines of many processes do not mix, for a
 * short append to a file is one step. Does nothing unless COMFYQ_FAIL_POINTS=1 and COMFYQ_HISTORY_FILE are set.
 */
export function noteHistory(op: string, facts: HistoryFacts = {}): void {
  target ??= { file: readSwitches().historyFile };
  if (target.file === undefined) return;
  const line = { t: performance.timeOrigin + monotonicMs(), actor: process.pid, op, ...facts };
  appendFileSync(target.file, `${JSON.stringify(line)}\n`);
}

/** True when a test broke this part on purpose (COMFYQ_BREAKS), to see that the checker catches it. */
export function isBroken(part: string): boolean {
  return readSwitches().breaks.has(part);
}
