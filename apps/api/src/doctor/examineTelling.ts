import type { DoctorCheck } from "@comfyq/contract";
import type { Rooms } from "../rooms.ts";
import { fail, messageOf, ok, warn } from "./check.ts";

/** Endpoints that get nothing any more. */
export async function examineEndpoints({ producer }: Rooms, tenant: string): Promise<readonly DoctorCheck[]> {
  const name = "webhooks";
  try {
    const endpoints = await producer.webhooks.list(tenant);
    const disabled = endpoints.filter(({ status }) => status === "disabled");
    const [first] = disabled;
    if (!first)
      return [ok(name, endpoints.length === 0 ? "no endpoints" : `${endpoints.length} endpoints, none disabled`)];
    const found = `${disabled.length} of ${endpoints.length} endpoints are disabled, such as ${first.url}: ${first.disabledReason}`;
    return [warn(name, found, `when its receiver is well: comfyq webhooks enable ${first.id}`)];
  } catch (error) {
    return [fail(name, messageOf(error), "look at Redis first")];
  }
}

/** More would keep who asked waiting. */
const SCHEDULES_SEEN = 100;
/** Nobody comes to schedules so late while a dispatcher lives. */
const OVERDUE_MS = 60_000;

/** Schedules whose last moment made no job, and whether anybody looks at them at all. */
export async function examineSchedules({ producer }: Rooms, tenant: string): Promise<readonly DoctorCheck[]> {
  const name = "schedules";
  try {
    const overdueMs = await producer.schedules.overdueMs();
    if (overdueMs > OVERDUE_MS) {
      const found = `one has waited ${Math.round(overdueMs / 1_000)} s for a dispatcher`;
      return [fail(name, found, "start a dispatcher, or look at its log")];
    }
    const { schedules } = await producer.schedules.list(tenant, { cursor: undefined, limit: SCHEDULES_SEEN });
    const troubled = schedules.filter(
      ({ lastTick }) => lastTick?.outcome === "missed" || lastTick?.outcome === "failed",
    );
    const [first] = troubled;
    if (!first)
      return [
        ok(
          name,
          schedules.length === 0 ? "there are none" : `${schedules.length} looked at, none without its last job`,
        ),
      ];
    const found = `${troubled.length} of ${schedules.length} made no job at their last moment, such as ${first.name}: ${first.lastTick?.reason}`;
    return [warn(name, found, `see its history: comfyq schedules ticks ${first.name}`)];
  } catch (error) {
    return [fail(name, messageOf(error), "look at Redis first")];
  }
}
