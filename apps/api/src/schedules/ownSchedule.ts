import { ScheduleName } from "@comfyq/contract";
import type { ScheduleRef, ScheduleState } from "@comfyq/queue";
import { ApiError, notFound, orNotFound } from "../errors.ts";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";

/** The name in the path, of the caller's tenant. @throws ApiError `not_found`: what cannot be a name is simply not there */
export function scheduleRef(call: Call): ScheduleRef {
  const name = call.params["name"] ?? "";
  if (!ScheduleName.safeParse(name).success) throw notFound("schedule", name);
  return { tenant: call.caller.tenant, name };
}

/** The name that a schedule is to have. @throws ApiError `invalid_request` */
export function newScheduleRef(call: Call): ScheduleRef {
  const parsed = ScheduleName.safeParse(call.params["name"]);
  if (parsed.success) return { tenant: call.caller.tenant, name: parsed.data };
  const message = "must be 1-63 of a-z 0-9 _ - and start with a letter or digit";
  throw new ApiError("invalid_request", `The schedule's name ${message}`, {
    details: [{ path: "path.name", message }],
  });
}

/** What a look-up by tenant found. @throws ApiError `not_found`, the same for unknown names and for somebody else's */
export function ownedSchedule<T>({ name }: ScheduleRef, found: T | undefined): T {
  return orNotFound("schedule", name, found);
}

export async function readOwnSchedule(rooms: Rooms, call: Call): Promise<ScheduleState> {
  const ref = scheduleRef(call);
  return ownedSchedule(ref, await rooms.producer.schedules.read(ref));
}
