import { once } from "node:events";
import { isTerminal, type JobEvent } from "@comfyq/contract";
import type { WatchedEvent } from "@comfyq/queue";
import { every, sleep } from "@comfyq/runtime";
import type { Response } from "express";
import { formatEventId } from "./eventId.ts";

/** Comments this often keep proxies from closing a quiet stream. */
const HEARTBEAT_MS = 15_000;
/** How long a browser waits before it connects again. */
const RETRY_MS = 2_000;
/** A reader that takes nothing for this long is cut off; it can resume. */
const STUCK_MS = 60_000;

/** One client's event stream. */
export interface EventStream {
  /** Aborts when the client is gone, stuck, or the API stops. */
  readonly signal: AbortSignal;
  /**
   * Writes one event. For a reader that does not keep up, progress and previews wait and only the newest of each is kept;
   * anything else is waited for, so nothing piles up in memory.
   */
  send(watched: WatchedEvent): Promise<void>;
  /** Resolves when the client has taken all, or is gone. */
  drained(): Promise<void>;
  end(): void;
}

/** Begins the answer. @param client aborts when the client is gone or the API stops */
export function openEventStream(res: Response, client: AbortSignal): EventStream {
  const stuck = new AbortController();
  const signal = AbortSignal.any([client, stuck.signal]);
  const waiting = new Map<JobEvent["event"], WatchedEvent>();
  res.status(200).set({
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no", // nginx would hold events back
  });
  res.write(`retry: ${RETRY_MS}\n\n`);
  void every(HEARTBEAT_MS, () => void (res.writableNeedDrain || res.write(": alive\n\n")), {
    signal,
    onError: () => undefined, // a write to a closed socket: `client` has aborted
    unref: true,
  });
  res.on("drain", () => {
    for (const watched of waiting.values()) res.write(frame(watched));
    waiting.clear();
  });
  const drained = async (): Promise<void> => {
    while (res.writableNeedDrain && !signal.aborted) await untilDrained(res, signal, stuck);
  };
  return {
    signal,
    send: async (watched) => {
      if (res.writableNeedDrain && isDroppable(watched.event)) {
        waiting.delete(watched.event.event); // so that it moves to the end of the order
        waiting.set(watched.event.event, watched);
        return;
      }
      await drained();
      if (!signal.aborted) res.write(frame(watched));
    },
    drained,
    end: () => res.end(),
  };
}

function isDroppable({ event }: JobEvent): boolean {
  return event === "progress" || event === "preview";
}

async function untilDrained(res: Response, signal: AbortSignal, stuck: AbortController): Promise<void> {
  const patience = new AbortController();
  const tooLong = sleep(STUCK_MS, AbortSignal.any([signal, patience.signal])).then(() => stuck.abort());
  await once(res, "drain", { signal }).catch(() => undefined); // aborted: the caller looks at the signal
  patience.abort();
  await tooLong.catch(() => undefined); // ended by patience or the signal
}

function frame({ id, event }: WatchedEvent): string {
  const isEnd = event.event === "status" && isTerminal(event.data.status);
  const idLine = id === undefined ? "" : `id: ${formatEventId({ id, isEnd })}\n`;
  return `${idLine}event: ${event.event}\ndata: ${JSON.stringify(event.data)}\n\n`;
}
