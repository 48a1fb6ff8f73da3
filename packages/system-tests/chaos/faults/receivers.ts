import type { ReceiverTrouble } from "../receiver.ts";
import type { Act, Acts } from "./act.ts";

function misbehave(trouble: ReceiverTrouble): Act {
  return ({ fleet }) => {
    fleet.receiver.trouble(trouble);
    return () => fleet.receiver.trouble(undefined);
  };
}

/** What can happen to whoever receives webhooks. */
export const RECEIVER_ACTS: Acts = {
  sink_refuses: misbehave("refuses"),
  sink_hangs_up: misbehave("hangs_up"),
  sink_slow: misbehave("slow"),
};
