import type { S3ErrorCode } from "./fakeS3Error.ts";
import type { S3Operation } from "./operation.ts";

/** What goes wrong. Bytes count the body of a PUT or POST on its way in, else the answer's body on its way out. */
export type FaultEffect =
  /** Answers with this S3 error instead of doing anything; `as200` puts it into a 200, as S3 may for a Complete. */
  | { readonly kind: "error"; readonly code: S3ErrorCode; readonly as200?: boolean }
  /** Moves no byte after this many, and keeps the connection. Taking the fault away lets it go on. */
  | { readonly kind: "stall"; readonly afterBytes: number }
  /** Cuts the connection after this many bytes. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Does the work, then cuts the connection instead of answering. */
  | { readonly kind: "lose_answer" }
  /** Answers with an ETag and a checksum that are not the object's. */
  | { readonly kind: "wrong_checksum" }
  /** GET and HEAD know only this many bytes of the object. */
  | { readonly kind: "truncate"; readonly toBytes: number }
  /** Waits before it does anything. */
  | { readonly kind: "delay"; readonly delayMs: number };

export type Fault = FaultEffect & {
  /** Operations it strikes; all when left out. */
  readonly on?: readonly S3Operation[];
  /** Strikes only keys that begin with this. */
  readonly keyPrefix?: string;
  /** Strikes so many requests, then is gone; unlimited when left out. */
  readonly times?: number;
  /** Strikes for so many milliseconds, then is gone; unlimited when left out. */
  readonly forMs?: number;
};

/** One fault that was switched on. */
export interface ActiveFault {
  readonly fault: Fault;
  /** Requests struck so far. */
  readonly hits: number;
  /** Aborts when the fault is taken away. */
  readonly gone: AbortSignal;
  /** Safe to repeat. */
  remove(): void;
}

/** The switches. A request is struck by the first fault that fits it, in the order they were added. */
export interface Faults {
  add(fault: Fault): ActiveFault;
  clear(): void;
}

interface Entry {
  readonly active: ActiveFault & { hits: number };
  readonly endsAtMs: number;
}

/** The faults of one server, with the side that strikes. */
export class FaultBoard implements Faults {
  readonly #entries = new Set<Entry>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  add(fault: Fault): ActiveFault {
    const goneController = new AbortController();
    const remove = () => {
      this.#entries.delete(entry);
      goneController.abort();
    };
    const entry: Entry = {
      active: { fault, hits: 0, gone: goneController.signal, remove },
      endsAtMs: this.#nowMs() + (fault.forMs ?? Number.POSITIVE_INFINITY),
    };
    this.#entries.add(entry);
    return entry.active;
  }

  clear(): void {
    for (const { active } of [...this.#entries]) active.remove();
  }

  /** The fault that strikes this request, counted; `undefined` when none does. */
  strike(operation: S3Operation, key: string): ActiveFault | undefined {
    for (const { active, endsAtMs } of [...this.#entries]) {
      const { on, keyPrefix, times } = active.fault;
      if (this.#nowMs() >= endsAtMs || active.hits >= (times ?? Number.POSITIVE_INFINITY)) {
        if (this.#nowMs() >= endsAtMs) active.remove();
        continue;
      }
      if ((on && !on.includes(operation)) || !key.startsWith(keyPrefix ?? "")) continue;
      active.hits += 1;
      return active;
    }
    return undefined;
  }
}
