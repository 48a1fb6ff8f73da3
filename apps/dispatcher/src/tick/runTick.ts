import type { QueueRoom, ScheduleRef } from "@comfyq/queue";
import type { Logger } from "@comfyq/runtime";
import type { TickMeter } from "./tickMeter.ts";
import { type TickTools, tickSchedule } from "./tickSchedule.ts";

/** An alarm rang. What a schedule cannot bear is logged, and tried again at its next alarm. */
export async function runTick(
  room: QueueRoom,
  ref: ScheduleRef,
  { log, meter }: { readonly log: Logger; readonly meter: TickMeter },
): Promise<void> {
  const tools: TickTools = {
    note: ({ tenant, name }, { outcome, lagMs, count = 1 }) => {
      meter.note(outcome, lagMs, count);
      const facts = { tenant, schedule: name, outcome, lagMs, count };
      if (outcome === "job" || outcome === "waiting") log.info(facts, "schedule ticked");
      else log.warn(facts, "a schedule's moment made no job");
    },
  };
  try {
    await tickSchedule(room, ref, tools);
  } catch (err) {
    log.error({ err, tenant: ref.tenant, schedule: ref.name }, "a schedule could not be brought up to date");
    throw err;
  }
}
