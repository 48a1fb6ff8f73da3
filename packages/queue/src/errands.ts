import { type ErrandName, ErrandTick } from "@comfyq/contract";
import { type Job as BullJob, UnrecoverableError, Worker } from "bullmq";
import { deliveryBackoff } from "./deliveryBackoff.ts";
import { Answer, Delivery, Settlement } from "./envelopes.ts";
import { openRoom, type QueueRoom, type RoomOptions } from "./room.ts";
import { dropAlarm, TickAlarm } from "./schedules/alarms.ts";
import { startBell } from "./schedules/bell.ts";
import { nextAlarm } from "./schedules/nextAlarm.ts";
import { readSchedule, type ScheduleRef } from "./schedules/scheduleState.ts";

/** A delivery that must not be tried again (410 Gone, refused address). */
export class GiveUp extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "GiveUp";
  }
}

/** A delivery that its receiver wants no earlier than `afterMs` from now (Retry-After). */
export class TryLater extends Error {
  readonly afterMs: number;
  constructor(message: string, afterMs: number) {
    super(message);
    this.name = "TryLater";
    this.afterMs = afterMs;
  }
}

/** A delivery that is to be sent now. */
export interface DueDelivery {
  readonly delivery: Delivery;
  /** The `webhook-id`: the same on every try. */
  readonly eventId: string;
  /** From 1. */
  readonly tryNumber: number;
}

/** What the dispatcher does. Each may run twice for the same thing after a crash, so each must bear it. */
export interface ErrandRunner {
  /** The job has ended: tell whoever is to be told. */
  settlement(settlement: Settlement, room: QueueRoom): Promise<void>;
  /** Send one event; throw to try again later, `TryLater` to say when, `GiveUp` to stop. */
  delivery(due: DueDelivery, room: QueueRoom): Promise<void>;
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
}

/** Runs settlements, deliveries and ticks, any number of processes beside each other. */
export async function openErrands(options: ErrandsOptions): Promise<Errands> {
  const room = await openRoom(options, "worker");
  const { run, onTrouble } = options;
  const { names, settings } = room;
  const work = (queue: string, concurrency: number, step: (job: BullJob) => Promise<void>): Worker => {
    const worker = new Worker(queue, step, {
      connection: room.redis,
      prefix: names.prefix,
      concurrency,
      lockDuration: settings.lockMs,
      stalledInterval: settings.stalledScanMs,
      maxStalledCount: settings.maxStalledCount,
      drainDelay: settings.drainDelaySeconds,
      settings: {
        repeatStrategy: nextAlarm,
        backoffStrategy: (triesMade, _type, error) => deliveryBackoff(triesMade, backoffFacts(room, error)),
      },
    });
    worker.on("error", (error) => onTrouble?.(error));
    return worker;
  };
  const workers = [
    work(names.settlementsQueue, settings.settlementConcurrency, (job) =>
      run.settlement(Settlement.parse(job.data), room),
    ),
    work(names.deliveriesQueue, settings.deliveryConcurrency, (job) => deliver(run, room, job)),
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

async function deliver(run: ErrandRunner, room: QueueRoom, job: BullJob): Promise<void> {
  try {
    const delivery = Delivery.parse(job.data);
    const eventId = delivery.eventId ?? String(job.id);
    await run.delivery({ delivery, eventId, tryNumber: job.attemptsMade + 1 }, room);
  } catch (error) {
    if (error instanceof GiveUp) throw new UnrecoverableError(error.message);
    throw error;
  }
}

function backoffFacts({ settings }: QueueRoom, error: unknown): Parameters<typeof deliveryBackoff>[1] {
  const askedMs = error instanceof TryLater ? error.afterMs : 0;
  return { waitsMs: settings.deliveryBackoffMs, askedMs, dice: Math.random() };
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
