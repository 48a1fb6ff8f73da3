import { randomUUID } from "node:crypto";
import type { WebhookEvent } from "../../../packages/contract/src/index.ts";
import { openClaimer, queueDelivery } from "../../../packages/queue/src/index.ts";
import type { Bench, Effort } from "../harness/bench.ts";
import { interleave } from "../harness/interleave.ts";
import type { Measured } from "../harness/report.ts";
import { median, medianRatio, rounded } from "../harness/statistics.ts";
import { perSecond } from "../rig/perSecond.ts";
import { type Receiver, startReceiver } from "../rig/receiver.ts";
import { openRig, type Rig } from "../rig/rig.ts";

/** Receivers of their own ports: to a gate, hosts of their own. */
const HOSTS = 16;
const BODY_BYTES = 2_000;

function eventAbout(jobId: string): WebhookEvent {
  // All that is read of it on its way.
  const data = { job: { id: jobId, metadata: { note: "x".repeat(BODY_BYTES) } } };
  return {
    v: 1,
    id: randomUUID(),
    type: "job.succeeded",
    timestamp: "2026-01-01T00:00:00Z",
    data,
  } as unknown as WebhookEvent;
}

/** A full queue, and one dispatcher that comes to it. @returns deliveries per second, from the first to the last */
async function drained({ system }: Rig, receivers: readonly Receiver[], count: number): Promise<number> {
  await system.dispatcher.stop("SIGKILL");
  const claimer = await openClaimer({
    redisUrl: system.redis.url,
    pool: "none",
    workerId: "bench",
    instance: "none",
  });
  const jobIds = Array.from({ length: count }, () => randomUUID());
  const urlOf = (at: number) => receivers[at % receivers.length]?.url ?? "";
  const queueOne = (id: string, at: number) =>
    queueDelivery(claimer.room, eventAbout(id), { tenant: "default", url: urlOf(at), endpointId: null });
  for (let at = 0; at < count; at += 100)
    await Promise.all(jobIds.slice(at, at + 100).map((id, next) => queueOne(id, at + next)));
  await claimer.close();
  await system.restartDispatcher();
  await Promise.all(
    receivers.map((receiver, at) => receiver.untilTold(jobIds.filter((_, number) => number % receivers.length === at))),
  );
  const moments = receivers.flatMap(({ arrivedAtMs }) => jobIds.flatMap((id) => arrivedAtMs.get(id) ?? []));
  return ((count - 1) * 1_000) / (Math.max(...moments) - Math.min(...moments));
}

async function run({ isQuick }: Effort): Promise<Measured> {
  await using rig = await openRig({ hasS3: false, startWorkers: false });
  const receivers = await Promise.all(Array.from({ length: HOSTS }, () => startReceiver()));
  const [pairs, count] = isQuick ? [1, 64] : [5, 3_000];
  const measured = await interleave(
    pairs,
    () => drained(rig, receivers, count),
    () =>
      perSecond(count, async (client) => {
        const body = JSON.stringify(eventAbout(randomUUID()));
        await fetch(receivers[client % HOSTS]?.url ?? "", { method: "POST", body });
      }),
  );
  for (const receiver of receivers) await receiver[Symbol.asyncDispose]();
  const perSecondMedian = rounded(median(measured.map(({ subject }) => subject)), 0);
  return {
    checks: [{ name: "of_bare_posts", value: medianRatio(measured), atLeast: 0.15 }],
    baseline: `bare POSTs, 64 at once: ${Math.round(median(measured.map(({ baseline }) => baseline)))}/s`,
    n: pairs * count,
    details: { deliveries_per_s: perSecondMedian },
  };
}

export const deliveryRate: Bench = {
  id: "B14",
  what: "deliveries per second of one dispatcher to 16 hosts, signed and noted, by bare POSTs",
  run,
};
