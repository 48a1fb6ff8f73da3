import { type JobFacts, JobId } from "@comfyq/contract";
import { notFound } from "./errors.ts";
import type { Rooms } from "./rooms.ts";
import type { Call } from "./route.ts";

/**
 * The id in the path, when it can be one. What cannot be an id is simply not there.
 * @throws ApiError `not_found`
 */
export function jobIdOf(call: Call): string {
  const id = call.params["id"] ?? "";
  if (!JobId.safeParse(id).success) throw notFound("job", id);
  return id;
}

/** The caller's job. @throws ApiError `not_found`, the same for unknown ids and for somebody else's */
export async function readOwnJob(rooms: Rooms, call: Call): Promise<JobFacts> {
  const id = jobIdOf(call);
  return owned(id, await rooms.producer.read(call.caller.tenant, id));
}

/** What a look-up by tenant found. @throws ApiError `not_found` when it found nothing */
export function owned<T>(id: string, found: T | undefined): T {
  if (found === undefined) throw notFound("job", id);
  return found;
}
