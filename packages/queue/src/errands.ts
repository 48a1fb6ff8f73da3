import { type ErrandName, ErrandTick, WebhookEventType } from "@comfyq/contract";
import { type Job as BullJob, Worker } from "bullmq";
import { type AttemptTools, askedMsOf, attemptDelivery, type TryOrder, type TryReport } from "./attemptDelivery.ts";
import { type BackoffFacts, deliveryBackoff } from "./deliveryBackoff.ts";
import { deliveryWaits } from "./deliveryWaits.ts";
import { Answer, type Delivery, Settlement } from "./envelopes.ts";
import type { GateLimits } from "./gate.ts";
import { openRoom, type QueueRoom, type RoomOptions } from "./room.ts";
import { dropAlarm, TickAlarm } from "./schedules/alarms.ts";
import { startBell } from "./schedules/bell.ts";
import { nextAlarm } from "./schedules/nextAlarm.ts";
import { readSchedule, type ScheduleRef } from "./schedules/scheduleState.ts";

/** What the dispatcher does. Each may run twice for the same thing after a crash, so each must bear it. */
export interface ErrandRunner {
  /** The job has ended: tell whoever is to be told. */
  settlement(settlement: Settlement, room: QueueRoom): Promise<void>;
  /** Send one event once, and say what came of it. */
  delivery(delivery: Delivery, order: TryOrder, room: QueueRoom): Promise<TryReport>;
  /** What came of it stands in the log. */
  deliveryNoted?(delivery: Delivery, order: TryOrder): Promise<void>;
  /** A result may be there for a job; throw to try again in a moment. */
  answer(answer: Answer, room: QueueRoom): Promise<void>;
  errand(name: ErrandName, room: QueueRoom): Promise<void>;
  /** A schedule's alarm rang: fire what is due. */
  tick(schedule: ScheduleRef, room: QueueRoom): Promise<void>;
}

export interface Errands {
  readonly room: QueueRoom;
  /** Stops taking errands and waits for those under way. */
  close(): Promise<void>;
}

export interface ErrandsOptions extends RoomOptions {
  readonly run: ErrandRunner;
  readonly onTrouble?: (error: Error) => void;
  /** How many deliveries one host gets at once, and how long one try can take; all dispatchers must say the same. */
  readonly gates?: GateLimits | undefined;
  /** How this process is called in the log of a delivery's tries. */
  readonly sender?: string | undefined;
}

/** Longer than any try: a receiver has 15 s, and a process that dies is noticed later than that. */
const DEFAULT_LEASE_MS = 30_000;

/** Runs settlements, deliveries and ticks, any number of processes beside each other. */
export async function openErrands(options: ErrandsOptions): Promise<Errands> {
  const room = await openRoom(options, "worker");
  const { run, onTrouble } = options;
  const { names, settings } = room;
  const limits = options.gates ?? { perHost: settings.deliveriesPerHost, leaseMs: DEFAULT_LEASE_MS };
  const delivering: AttemptTools = {
    send: (delivery, order, at) => run.delivery(delivery, order, at),
    onNoted: (delivery, order) => run.deliveryNoted?.(delivery, order) ?? Promise.resolve(),
    limits,
    sender: options.sender ?? "",
  };
  const work = (
    queue: string,
    concurrency: number,
    step: (job: BullJob, token: string) => Promise<unknown>,
  ): Worker => {
    const worker = new Worker(queue, (job, token = "") => step(job, token), {
      connection: room.redis,
      prefix: names.prefix,
      concurrency,
      lockDuration: settings.lockMs,
      stalledInterval: settings.stalledScanMs,
      maxStalledCount: settings.maxStalledCount,
      drainDelay: settings.drainDelaySeconds,
      settings: {
        repeatStrategy: nextAlarm,
        backoffStrategy: (triesMade, _type, error, job) =>
          deliveryBackoff(triesMade, backoffFacts(room, job?.name, error)),
      },
    });
    worker.on("error", (error) => onTrouble?.(error));
    return worker;
  };
  const workers = [
    work(names.settlementsQueue, settings.settlementConcurrency, (job) =>
      run.settlement(Settlement.parse(job.data), room),
    ),
    work(names.deliveriesQueue, settings.deliveryConcurrency, (bullJob, token) =>
      attemptDelivery(room, delivering, { bullJob, token }),
    ),
    work(names.answersQueue, settings.answerConcurrency, (job) => run.answer(Answer.parse(job.data), room)),
    work(names.ticksQueue, settings.tickConcurrency, (job) => tick(room, run, job)),
    work(names.schedulesQueue, 1, (job) => run.errand(ErrandTick.parse(job.data).errand, room)),
  ];
  await startClock(room);
  const stopBell = startBell(room, onTrouble);
  return {
    room,
    close: async () => {
      await stopBell();
      await Promise.all(workers.map((worker) => worker.close()));
      await room.close();
    },
  };
}

/** An alarm whose schedule is gone, or was made anew under another id, is taken away. */
async function tick(room: QueueRoom, run: ErrandRunner, { data, repeatJobKey }: BullJob): Promise<void> {
  const { tenant, schedule } = TickAlarm.parse(data);
  const ref = { tenant, name: schedule };
  if (repeatJobKey !== undefined && (await readSchedule(room, ref))?.id !== repeatJobKey)
    await dropAlarm(room, repeatJobKey);
  else await run.tick(ref, room);
}

function backoffFacts({ settings }: QueueRoom, name: string | undefined, error: unknown): BackoffFacts {
  const waitsMs = deliveryWaits(WebhookEventType.catch("job.failed").parse(name), settings);
  return { waitsMs, askedMs: askedMsOf(error), dice: Math.random() };
}

/** The house's own schedules, as BullMQ job schedulers: one tick at a time, however many dispatchers run. */
async function startClock({ schedules, settings }: QueueRoom): Promise<void> {
  const every: Readonly<Record<ErrandName, number>> = {
    sweep_retention: settings.sweepRetentionEveryMs,
    sweep_expired: settings.sweepExpiredEveryMs,
    sweep_storage: settings.sweepStorageEveryMs,
    care_for_batches: settings.careForBatchesEveryMs,
  };
  for (const [errand, ms] of Object.entries(every))
    await schedules.upsertJobScheduler(
      errand,
      { every: ms },
      {
        name: errand,
        data: { v: 1, errand },
        opts: {
          removeOnComplete: { count: settings.ticksKept },
          removeOnFail: { count: settings.ticksKept },
        },
      },
    );
}
