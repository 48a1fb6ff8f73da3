import { Job } from "@comfyq/contract";
import { jobIdOf, owned } from "../ownJob.ts";
import { showJob } from "../presentJob.ts";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";
import { JobParams } from "./showJob.ts";

export function cancelJobRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: "/v1/jobs/{id}/cancel",
    scope: "cancel",
    tag: "Jobs",
    summary: "Ask for a job to be canceled",
    description:
      "A waiting job is canceled when this returns. A running one is canceling; its instance is told, and the job ends as " +
      "canceled, or as what it was about to become. Safe to repeat.",
    params: JobParams,
    answers: { 200: json("The job after the request", Job) },
    errors: ["not_found", "conflict"],
    run: async (call) => {
      const id = jobIdOf(call);
      const facts = owned(id, await rooms.producer.cancel(call.caller.tenant, id));
      call.res.json(await showJob(rooms, call, facts));
    },
  });
}
