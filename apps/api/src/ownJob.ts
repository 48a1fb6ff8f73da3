import type { JobFacts, Workflow } from "@comfyq/contract";
import { orNotFound } from "./errors.ts";
import { pathId } from "./pathId.ts";
import type { Rooms } from "./rooms.ts";
import type { Call } from "./route.ts";

/**
 * The id in the path, when it can be one. What cannot be an id is simply not there.
 * @throws ApiError `not_found`
 */
export function jobIdOf(call: Call): string {
  return pathId(call, "job");
}

/** The caller's job. @throws ApiError `not_found`, the same for unknown ids and for somebody else's */
export async function readOwnJob(rooms: Rooms, call: Call): Promise<JobFacts> {
  const id = jobIdOf(call);
  return owned(id, await rooms.producer.read(call.caller.tenant, id));
}

/** What a look-up by tenant found. @throws ApiError `not_found` when it found nothing */
export function owned<T>(id: string, found: T | undefined): T {
  return orNotFound("job", id, found);
}

/** The graph of the caller's job, as it runs. @throws ApiError `not_found` */
export async function readOwnWorkflow(rooms: Rooms, call: Call): Promise<Workflow> {
  const id = jobIdOf(call);
  return owned(id, await rooms.producer.workflow(call.caller.tenant, id));
}
