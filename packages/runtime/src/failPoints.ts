import { sleep } from "./clock.ts";
import { readSwitches } from "./env.ts";
import { type HistoryFacts, noteHistory } from "./history.ts";
import { type FailPointAction, type FailPointName, type FailPointRule, parseFailPoints } from "./parseFailPoints.ts";

/** What a fail point throws when its action is `throw`. */
export class FailPointError extends Error {
  override readonly name = "FailPointError";
  readonly code = "fail_point";
}

/** Undefined until the first fail point is reached; then fixed for the life of the process. */
let armed: { readonly rules: readonly FailPointRule[]; readonly arrivals: Map<FailPointName, number> } | undefined;

/**
 * A place where a test may make this process fail, named in reference/faults.md §2.3. Does nothing unless both
 * COMFYQ_FAIL_POINTS=1 and FAILPOINT=`<name>:<action>@<n>[,…]` are set; see `parseFailPoints` for the actions.
 * `hang` never returns but leaves the event loop alive; `block:<ms>` stops the event loop itself.
 * @param facts for the history: the moment is noted there before it strikes
 * @throws FailPointError for the action `throw`; Error at the first call when FAILPOINT cannot be read
 */
export async function failPoint(name: FailPointName, facts?: HistoryFacts): Promise<void> {
  noteHistory(name, facts);
  armed ??= { rules: readRules(), arrivals: new Map() };
  if (armed.rules.length === 0) return;
  const arrival = (armed.arrivals.get(name) ?? 0) + 1;
  armed.arrivals.set(name, arrival);
  for (const rule of armed.rules) {
    if (rule.name === name && (rule.at === arrival || rule.at === Number.POSITIVE_INFINITY))
      await strike(name, rule.action);
  }
}

function readRules(): readonly FailPointRule[] {
  const { failPointsAllowed, failPoints } = readSwitches();
  return failPointsAllowed ? parseFailPoints(failPoints) : [];
}

async function strike(name: FailPointName, action: FailPointAction): Promise<void> {
  switch (action.kind) {
    case "kill9":
      process.kill(process.pid, "SIGKILL");
      return forever(); // the signal may arrive a moment later: nothing more may happen until then
    case "exit1":
      return process.exit(1);
    case "throw":
      throw new FailPointError(`fail point "${name}" was told to throw`);
    case "hang":
      return forever();
    case "delay":
      return sleep(action.ms);
    case "block":
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, action.ms);
      return;
    default:
      return action satisfies never;
  }
}

function forever(): Promise<never> {
  return new Promise(() => undefined);
}
