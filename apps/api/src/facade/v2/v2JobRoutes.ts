import { JobId } from "@comfyq/contract";
import * as z from "zod";
import { jobIdOf, owned, readOwnJob, readOwnWorkflow } from "../../ownJob.ts";
import type { Rooms } from "../../rooms.ts";
import { type Call, json, type Route, route } from "../../route.ts";
import { showV2Job } from "./showV2.ts";
import { V2_TAG } from "./submitV2Job.ts";
import { V2_BASE, V2_DOOR } from "./v2Door.ts";
import { V2Job, V2Workflow } from "./v2Schemas.ts";

export const V2JobParams = z.object({ id: JobId });

/** Reading one job, its workflow, and asking for its end. */
export function v2JobRoutes(rooms: Rooms): readonly Route[] {
  const shared = { door: V2_DOOR, tag: V2_TAG, params: V2JobParams, errors: ["not_found"] } as const;
  return [
    route({
      ...shared,
      method: "get",
      path: `${V2_BASE}/jobs/{id}`,
      scope: "read",
      summary: "Read a job",
      answers: { 200: json("The job", V2Job) },
      run: async (call) => void call.res.json(await showV2Job(rooms, call, await readOwnJob(rooms, call))),
    }),
    route({
      ...shared,
      method: "get",
      path: `${V2_BASE}/jobs/{id}/workflow`,
      scope: "read",
      summary: "Read the graph as it runs",
      answers: { 200: json("The workflow", V2Workflow) },
      run: async (call) => void call.res.json({ workflow: await readOwnWorkflow(rooms, call), format: "api" }),
    }),
    route({
      ...shared,
      method: "post",
      path: `${V2_BASE}/jobs/{id}/cancel`,
      scope: "cancel",
      summary: "Ask for a job to be canceled",
      description: "A request, not a guarantee. A job that has ended stays as it is, and is answered so.",
      answers: { 200: json("The job after the request", V2Job) },
      run: async (call) => void call.res.json(await showV2Job(rooms, call, await cancelOrRead(rooms, call))),
    }),
  ];
}

async function cancelOrRead(rooms: Rooms, call: Call) {
  const id = jobIdOf(call);
  try {
    return owned(id, await rooms.producer.cancel(call.caller.tenant, id));
  } catch (error) {
    const hasEnded = error instanceof Error && "code" in error && error.code === "conflict";
    if (!hasEnded) throw error;
    return readOwnJob(rooms, call);
  }
}
