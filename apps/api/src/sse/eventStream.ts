import { once } from "node:events";
import { every, sleep } from "@comfyq/runtime";
import type { Response } from "express";

/** Comments this often keep proxies from closing a quiet stream. */
const HEARTBEAT_MS = 15_000;
/** How long a browser waits before it connects again. */
const RETRY_MS = 2_000;
/** A reader that takes nothing for this long is cut off; it can resume. */
const STUCK_MS = 60_000;

/** One event as it is sent. */
export interface StreamFrame {
  readonly id?: string | undefined;
  readonly event: string;
  /** Sent as JSON. */
  readonly data: unknown;
}

/** One client's event stream. */
export interface EventStream {
  /** Aborts when the client is gone, stuck, or the API stops. */
  readonly signal: AbortSignal;
  /**
   * Writes one event. For a reader that does not keep up, progress and previews wait and only the newest of each is kept;
   * anything else is waited for, so nothing piles up in memory.
   */
  send(frame: StreamFrame): Promise<void>;
  /** Resolves when the client has taken all, or is gone. */
  drained(): Promise<void>;
  end(): void;
}

/** Begins the answer. @param client aborts when the client is gone or the API stops */
export function openEventStream(res: Response, client: AbortSignal): EventStream {
  const stuck = new AbortController();
  const signal = AbortSignal.any([client, stuck.signal]);
  const waiting = new Map<string, StreamFrame>();
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
    for (const frame of waiting.values()) res.write(written(frame));
    waiting.clear();
  });
  const drained = async (): Promise<void> => {
    while (res.writableNeedDrain && !signal.aborted) await untilDrained(res, signal, stuck);
  };
  return {
    signal,
    send: async (frame) => {
      if (res.writableNeedDrain && isDroppable(frame)) {
        waiting.delete(frame.event); // so that it moves to the end of the order
        waiting.set(frame.event, frame);
        return;
      }
      await drained();
      if (!signal.aborted) res.write(written(frame));
    },
    drained,
    end: () => res.end(),
  };
}

function isDroppable({ event }: StreamFrame): boolean {
  return event === "progress" || event === "preview";
}

async function untilDrained(res: Response, signal: AbortSignal, stuck: AbortController): Promise<void> {
  const patience = new AbortController();
  const tooLong = sleep(STUCK_MS, AbortSignal.any([signal, patience.signal])).then(() => stuck.abort());
  await once(res, "drain", { signal }).catch(() => undefined); // aborted: the caller looks at the signal
  patience.abort();
  await tooLong.catch(() => undefined); // ended by patience or the signal
}

function written({ id, event, data }: StreamFrame): string {
  const idLine = id === undefined ? "" : `id: ${id}\n`;
  return `${idLine}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
