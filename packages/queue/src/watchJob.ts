import { isTerminal, type JobEvent, type JobFacts } from "@comfyq/contract";
import type { Redis } from "ioredis";
import { after } from "./clock.ts";
import { connectRedis } from "./connection.ts";
import type { Notice } from "./jobEvents.ts";
import { readJob } from "./readJob.ts";
import type { QueueRoom } from "./room.ts";

/** One event of a job. `id` can be sent back to go on from there; previews have none, they are not kept. */
export interface WatchedEvent {
  readonly id: string | undefined;
  readonly event: JobEvent;
}

export interface WatchQuery {
  readonly tenant: string;
  readonly jobId: string;
  /** Last id the client has: everything after it follows. Without it the watch begins with a snapshot. */
  readonly afterId?: string | undefined;
  readonly signal: AbortSignal;
}

export interface Watcher {
  /**
   * The events of one job, in order, ending after its terminal status, which always comes: as it happened, or made from
   * the job when its event was lost. Ends quietly when the signal aborts, or when there is no such job.
   */
  watch(query: WatchQuery): AsyncGenerator<WatchedEvent>;
  close(): void;
}

/** Opens one subscribing connection, shared by all watches of this process. */
export function openWatcher(room: QueueRoom, redisUrl: string): Watcher {
  const redis = connectRedis(redisUrl, "worker");
  const bells = new Map<string, Set<Bell>>();
  redis.on("message", (channel: string, text: string) => {
    for (const bell of bells.get(channel) ?? []) bell.ring(JSON.parse(text));
  });
  return {
    watch: async function* (query) {
      const channel = room.names.watch(query.jobId);
      const bell = new Bell();
      await hang(redis, bells, channel, bell);
      try {
        yield* follow(room, query, bell);
      } finally {
        await unhang(redis, bells, channel, bell);
      }
    },
    close: () => redis.disconnect(),
  };
}

/** Wakes one watch; keeps the newest preview for it, and no more: a slow reader must not grow a queue. */
class Bell {
  #wake: (() => void) | undefined;
  #rung = false;
  #preview: JobEvent | undefined;

  ring(notice: Notice): void {
    if (notice.kind === "preview") this.#preview = notice.event;
    this.#rung = true;
    this.#wake?.();
  }

  takePreview(): JobEvent | undefined {
    const preview = this.#preview;
    this.#preview = undefined;
    return preview;
  }

  /** Waits for a ring since the last wait, the poll interval, or the signal. */
  wait(signal: AbortSignal, pollMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        stopTimer();
        signal.removeEventListener("abort", done);
        this.#wake = undefined;
        this.#rung = false;
        resolve();
      };
      const stopTimer = after(pollMs, done);
      if (this.#rung || signal.aborted) return done();
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

async function hang(redis: Redis, bells: Map<string, Set<Bell>>, channel: string, bell: Bell): Promise<void> {
  const hung = bells.get(channel) ?? new Set();
  bells.set(channel, hung.add(bell));
  if (hung.size === 1) await redis.subscribe(channel);
}

async function unhang(redis: Redis, bells: Map<string, Set<Bell>>, channel: string, bell: Bell): Promise<void> {
  const hung = bells.get(channel);
  hung?.delete(bell);
  if (hung?.size !== 0) return;
  bells.delete(channel);
  if (redis.status === "ready") await redis.unsubscribe(channel);
}

async function* follow(room: QueueRoom, query: WatchQuery, bell: Bell): AsyncGenerator<WatchedEvent> {
  const { tenant, jobId, signal } = query;
  let lastId = query.afterId ?? (await newestId(room, jobId));
  const atFirst = await readJob(room, tenant, jobId);
  if (!atFirst) return;
  if (query.afterId === undefined) yield* snapshotOf(atFirst, lastId);
  if (query.afterId === undefined && isTerminal(atFirst.status)) return;
  while (!signal.aborted) {
    const entries = await eventsAfter(room, jobId, lastId);
    for (const entry of entries) {
      lastId = entry.id;
      if (!(query.afterId === undefined && isBehind(entry.event, atFirst))) yield entry;
      if (endsWatch(entry.event)) return;
    }
    const preview = bell.takePreview();
    if (preview) yield { id: undefined, event: preview };
    // The event of the end may be lost to a crash between settling and telling; the job itself is the truth. It is asked
    // when the stream has nothing to say, not at each of four events a second.
    if (entries.length === 0 && !preview) {
      const job = await readJob(room, tenant, jobId);
      if (!job) return;
      if (isTerminal(job.status) && (await eventsAfter(room, jobId, lastId)).length === 0)
        return yield* snapshotOf(job, lastId);
    }
    await bell.wait(signal, room.settings.watchPollMs);
  }
}

/** The snapshot was read after the place in the stream where the watch begins: what it has shown does not come again. */
function isBehind({ event, data }: JobEvent, { epoch, progress }: JobFacts): boolean {
  if (event !== "progress" || data.attempt > epoch) return false;
  return data.attempt < epoch || data.value < (progress?.value ?? 0);
}

function endsWatch(event: JobEvent): boolean {
  return event.event === "status" && isTerminal(event.data.status);
}

function* snapshotOf(job: JobFacts, id: string): Generator<WatchedEvent> {
  if (job.progress && !isTerminal(job.status))
    yield { id, event: { event: "progress", data: { ...job.progress, attempt: job.epoch } } };
  yield {
    id,
    event: { event: "status", data: { status: job.status, stage: job.stage, attempt: job.epoch, error: job.error } },
  };
}

async function newestId(room: QueueRoom, jobId: string): Promise<string> {
  const [newest] = await room.redis.xrevrange(room.names.events(jobId), "+", "-", "COUNT", 1);
  return newest?.[0] ?? "0-0";
}

interface KeptEvent extends WatchedEvent {
  readonly id: string;
}

async function eventsAfter(room: QueueRoom, jobId: string, lastId: string): Promise<readonly KeptEvent[]> {
  const entries = await room.redis.xrange(
    room.names.events(jobId),
    `(${lastId}`,
    "+",
    "COUNT",
    room.settings.eventStreamLength,
  );
  // Our own writing under a name of ours: parsed, not checked again, four times a second for every watcher.
  return entries.map(([id, fields]) => ({ id, event: JSON.parse(fields[1] ?? "{}") as JobEvent }));
}
