import type { Fault } from "@comfyq/fake-s3";
import type { Act, Acts } from "./act.ts";

/** The bucket misbehaves until healed. */
function misbehave(fault: Fault): Act {
  return ({ fleet }) => {
    const active = fleet.s3.faults.add(fault);
    return () => active.remove();
  };
}

/** Requests that a fault strikes before the store behaves again: a store that always lied could hold nothing. */
const A_FEW = 3;

/** What can happen to the store. */
export const STORE_ACTS: Acts = {
  s3_errors: misbehave({ kind: "error", code: "SlowDown" }),
  s3_stalls: misbehave({ kind: "stall", afterBytes: 100 }),
  s3_wrong_checksum: misbehave({ kind: "wrong_checksum", times: A_FEW, on: ["PutObject"] }),
  s3_loses_answer: misbehave({ kind: "lose_answer", times: A_FEW, on: ["PutObject"] }),
  s3_slow: misbehave({ kind: "delay", delayMs: 400 }),
};
