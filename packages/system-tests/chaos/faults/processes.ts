import type { Actor } from "../actor.ts";
import type { Act, Acts, Struck } from "./act.ts";

type Choose = (struck: Struck) => Actor;

const worker: Choose = ({ station }) => station.worker;
const simulator: Choose = ({ station }) => station.simulator;
const api: Choose = ({ fleet }) => fleet.api;
const dispatcher: Choose = ({ fleet }) => fleet.dispatcher;

/** Ends a process, and lets it run again when healed. */
function end(choose: Choose, signal: NodeJS.Signals): Act {
  return async (struck) => {
    const actor = choose(struck);
    await actor.stop(signal);
    return () => actor.start();
  };
}

/** Freezes a process: it keeps its memory and its connections, and sleeps through its locks. */
function freeze(choose: Choose): Act {
  return (struck) => {
    const actor = choose(struck);
    actor.signal("SIGSTOP");
    return () => actor.signal("SIGCONT");
  };
}

/** Deaths and sleeps of our processes and of ComfyUI. */
export const PROCESS_ACTS: Acts = {
  kill_worker: end(worker, "SIGKILL"),
  term_worker: end(worker, "SIGTERM"),
  stop_worker: freeze(worker),
  kill_api: end(api, "SIGKILL"),
  stop_api: freeze(api),
  kill_dispatcher: end(dispatcher, "SIGKILL"),
  kill_simulator: end(simulator, "SIGKILL"),
  stop_simulator: freeze(simulator),
};
