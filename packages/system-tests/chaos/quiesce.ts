import { mendRedis } from "./faults/redis.ts";
import type { Fleet, Station } from "./fleet.ts";
import type { Ledger } from "./ledger.ts";

export interface Quiet {
  readonly ledger: Ledger;
  /** Watchers who have not seen an end yet. */
  readonly watching: () => number;
  /** Longest wait, in ms. Whoever has not ended then breaks I1. */
  readonly withinMs: number;
}

const LOOK_EVERY_MS = 50;

/** Mends everything, and waits until every job has ended, been told, and been watched to its end. */
export async function quiesce(fleet: Fleet, { ledger, watching, withinMs }: Quiet): Promise<void> {
  const startedAtMs = performance.now();
  const isOver = () => performance.now() - startedAtMs > withinMs;
  await mendAll(fleet);
  const untold = () => ledger.jobs().filter(({ id, webhook }) => webhook && !fleet.receiver.wasTold(id));
  while (!isOver() && ledger.open().length + untold().length + watching() > 0)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  await ledger.lookAtAll();
  fleet.history.note("harness", { op: "quiesced", waitedMs: Math.round(performance.now() - startedAtMs) });
}

/** Undoes every fault there may be, those included whose own healing failed because another was in its way. */
async function mendAll(fleet: Fleet): Promise<void> {
  const lines = [fleet.apiToRedis, ...fleet.stations.flatMap(({ toRedis, toComfyUi }) => [toRedis, toComfyUi])];
  fleet.s3.faults.clear();
  fleet.receiver.trouble(undefined);
  for (const line of lines) line.delay(0);
  await Promise.all(lines.map((line) => line.thaw()));
  await mendRedis(fleet);
  for (const actor of fleet.actors) {
    actor.signal("SIGCONT");
    actor.start();
  }
  await Promise.all(fleet.actors.map((actor) => actor.whenUp()));
  await Promise.all(fleet.stations.map(clearFaults));
}

/** A simulator that a poison has just ended comes back without faults. */
async function clearFaults({ simulatorUrl }: Station): Promise<void> {
  await fetch(`${simulatorUrl}/simulator/faults`, { method: "DELETE" }).catch(() => undefined);
}
