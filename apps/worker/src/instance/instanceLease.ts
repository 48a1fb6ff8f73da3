import { holdInstance, type InstanceClaim, type QueueRoom, releaseInstance } from "@comfyq/queue";
import { monotonicMs, sleep, withDeadline } from "@comfyq/runtime";
import { orAborted } from "../orAborted.ts";

/** How often a worker that came second looks whether the other is gone. */
const LOOK_EVERY_MS = 1_000;
/** Of the lease's length, for how long after a confirmation nobody else can have it. */
const SURE_FOR = 0.8;
/** Longest wait for one answer of Redis. */
const ANSWER_MS = 5_000;

export interface InstanceLease {
  /** False when another process may have taken the instance meanwhile: this one slept, or could not renew. */
  isSurelyOurs(): boolean;
  /** Asks now. @returns who drives it; undefined when we do, or when Redis does not answer within `withinMs` */
  ask(withinMs: number): Promise<string | undefined>;
  /** Lets another worker have the instance at once, and stops asking for it. */
  release(): Promise<void>;
}

interface LeaseOptions {
  readonly room: QueueRoom;
  readonly claim: InstanceClaim;
  /** Called with every answer of Redis. */
  readonly onAnswer: (by: "us" | { readonly holder: string }) => void;
}

/** Asks to be the only worker at an instance, again and again until released. */
export function keepInstanceLease({ room, claim, onAnswer }: LeaseOptions): InstanceLease {
  const { beatEveryMs, instanceLeaseMs } = room.settings;
  const released = new AbortController();
  let confirmedAtMs = Number.NEGATIVE_INFINITY;
  const ask = async (withinMs: number): Promise<string | undefined> => {
    const askedAtMs = monotonicMs();
    const holder = await orAborted(holdInstance(room, claim), withDeadline(released.signal, withinMs));
    if (holder === undefined) confirmedAtMs = askedAtMs;
    onAnswer(holder === undefined ? "us" : { holder });
    return holder;
  };
  // With a margin, as a job's lock is fenced: between this look and what follows from it time passes.
  const isSurelyOurs = () => monotonicMs() - confirmedAtMs < instanceLeaseMs * SURE_FOR;
  const keep = async () => {
    while (!released.signal.aborted) {
      await ask(ANSWER_MS).catch(() => {}); // no answer changes nothing: without Redis nothing is claimed either
      const waitMs = isSurelyOurs() ? beatEveryMs : Math.min(LOOK_EVERY_MS, beatEveryMs);
      await sleep(waitMs, released.signal).catch(() => {}); // only the release ends it early
    }
  };
  void keep();
  return {
    isSurelyOurs,
    ask: (withinMs) => ask(withinMs).catch(() => undefined),
    release: async () => {
      released.abort();
      await orAborted(releaseInstance(room, claim), withDeadline(undefined, ANSWER_MS)).catch(() => {}); // it runs out by itself
    },
  };
}
