import { isTerminal, Job } from "@comfyq/contract";
import { sha256Hex } from "@comfyq/runtime";
import { ApiError } from "../errors.ts";
import { jobIdFor } from "../idempotency.ts";
import { owned, readOwnJob } from "../ownJob.ts";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";
import { JobParams } from "./showJob.ts";
import { SUBMIT_HEADERS, SUBMITTED_HEADERS, submit } from "./submitJob.ts";

export function retryJobRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: "/v1/jobs/{id}/retry",
    scope: "submit",
    tag: "Jobs",
    summary: "Submit an ended job again",
    description:
      "A new job from the same input: the same graph with the same seeds, inputs, secrets, webhook and limits; run_at is left out.",
    params: JobParams,
    headers: SUBMIT_HEADERS,
    answers: { 201: { ...json("The new job", Job), headers: SUBMITTED_HEADERS } },
    errors: ["not_found", "conflict", "idempotency_key_reuse", "limit_reached", "queue_full"],
    run: async (call) => {
      const { tenant } = call.caller;
      const old = await readOwnJob(rooms, call);
      if (!isTerminal(old.status))
        throw new ApiError("conflict", `Job ${old.id} is still ${old.status}; wait for its end, or cancel it first`);
      const { job: before, ...sealed } = owned(old.id, await rooms.producer.submitted(tenant, old.id));
      const { run_at: _past, ...job } = before;
      const { id } = jobIdFor(call.req, tenant);
      await submit(rooms, call, { ...sealed, id, job, bodySha256: sha256Hex(`retry:${old.id}`) });
    },
  });
}
