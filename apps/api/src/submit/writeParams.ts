import { randomBytes } from "node:crypto";
import { applyParams, type NewJob, type ParamFault } from "@comfyq/contract";
import { ApiError } from "../errors.ts";

/** A job as it will run. */
export interface WrittenJob {
  readonly job: NewJob;
  /** Has it a seed that was rolled just now? */
  readonly isRandom: boolean;
}

/**
 * The job with its params written into the workflow, random seeds rolled, and `params` empty: what is stored is what runs.
 * @throws ApiError `invalid_request` naming every param that leads nowhere
 */
export function writeParams(job: NewJob): WrittenJob {
  const { workflow, isRandom, faults } = applyParams(job.workflow, job.params, roll);
  if (faults.length === 0) return { job: { ...job, workflow, params: {} }, isRandom };
  throw new ApiError("invalid_request", "Some params lead to no place in the workflow; see details", {
    details: faults.map((fault) => ({ path: `params.${fault.param}`, message: describeFault(fault) })),
  });
}

/** Not crypto.randomInt: it stops at 2^48, and seeds go up to 2^53. The bias of % over 2^64 is one in 2048 at most. */
export function roll(below: number): number {
  return Number(randomBytes(8).readBigUInt64BE() % BigInt(below));
}

export function describeFault({ param, problem }: ParamFault): string {
  switch (problem) {
    case "bad_path":
      return "is no address; write <node id>.inputs.<name>, such as 6.inputs.text";
    case "unknown_node":
      return `the workflow has no node ${JSON.stringify(param.split(/\.inputs\.|-inputs-/)[0])}`;
    case "unknown_input":
      return "this input's name is not allowed";
  }
}
