import { Attempt, Job, JobId, Workflow } from "@comfyq/contract";
import * as z from "zod";
import { inlineOutputs } from "../objects/inlineOutputs.ts";
import { jobIdOf, owned, readOwnJob, readOwnWorkflow } from "../ownJob.ts";
import { showJob } from "../presentJob.ts";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";

export const JobParams = z.object({ id: JobId });
const ShownWorkflow = z.object({ workflow: Workflow, format: z.literal("api") }).meta({ id: "JobWorkflow" });
const ShownAttempts = z.object({ attempts: z.array(Attempt) }).meta({ id: "JobAttempts" });

/** The three views of one job. */
export function showJobRoutes(rooms: Rooms): readonly Route[] {
  const shared = { method: "get", scope: "read", tag: "Jobs", params: JobParams, errors: ["not_found"] } as const;
  return [
    route({
      ...shared,
      path: "/v1/jobs/{id}",
      summary: "Read a job",
      description: "The truth about a job. Links to its outputs are made fresh for each answer.",
      answers: { 200: json("The job", Job) },
      run: async (call) => {
        const facts = await readOwnJob(rooms, call);
        call.res.json(await inlineOutputs(rooms, call, await showJob(rooms, call, facts), facts));
      },
    }),
    route({
      ...shared,
      path: "/v1/jobs/{id}/workflow",
      summary: "Read the graph as it runs, with params written into it",
      answers: { 200: json("The workflow", ShownWorkflow) },
      run: async (call) => void call.res.json({ workflow: await readOwnWorkflow(rooms, call), format: "api" }),
    }),
    route({
      ...shared,
      path: "/v1/jobs/{id}/attempts",
      summary: "Read every try: where it ran, how long each stage took, why it ended",
      answers: { 200: json("Oldest first", ShownAttempts) },
      run: async (call) => {
        const id = jobIdOf(call);
        const attempts = owned(id, await rooms.producer.attempts(call.caller.tenant, id));
        call.res.json({ attempts });
      },
    }),
  ];
}
