import { applyParams, type NewJob, type ParamFault } from "@comfyq/contract";
import { rollSeed } from "@comfyq/runtime";
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
  const { workflow, isRandom, faults } = applyParams(job.workflow, job.params, rollSeed);
  if (faults.length === 0) return { job: { ...job, workflow, params: {} }, isRandom };
  throw new ApiError("invalid_request", "Some params lead to no place in the workflow; see details", {
    details: faults.map((fault) => ({ path: `params.${fault.param}`, message: describeFault(fault) })),
  });
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
