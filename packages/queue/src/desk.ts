import type { Attempt } from "@comfyq/contract";
import type { CacheLimits } from "./cacheEntries.ts";
import type { Cancels } from "./cancels.ts";
import type { Declines } from "./declines.ts";
import type { ClaimVerdict } from "./judgeClaim.ts";
import type { Limits } from "./limits.ts";
import type { Papers } from "./papers.ts";
import type { Pulse } from "./pulse.ts";
import type { QueueRoom } from "./room.ts";

/** A job that was claimed and not begun. */
export interface NotTaken {
  readonly jobId: string;
  readonly verdict: Exclude<ClaimVerdict, { kind: "take" }> | Shared | Limited;
}

/** As many of its tenant's jobs run as may. */
interface Limited {
  readonly kind: "decline";
  readonly why: "limited";
}

/** Its result is there (`cached`), or another job renders it now (`shared`). */
interface Shared {
  readonly kind: "decline";
  readonly why: "cached" | "shared";
}

/** A job whose papers could be read. */
export type Found = Exclude<Papers, { unreadable: string }>;

/**
 * Called before a job is ended that will not be begun again: what its attempts left at their instances must be stopped first.
 * The signal aborts when the lock is lost; whatever is thrown is ignored, the job is ended all the same.
 */
export type BeforeEnding = (jobId: string, earlier: readonly Attempt[], signal: AbortSignal) => Promise<void>;

/** One worker's place at the queue. */
export interface Desk {
  readonly room: QueueRoom;
  readonly pool: string;
  readonly workerId: string;
  readonly instance: string;
  readonly instanceId: string | undefined;
  /** Can this worker put models into its ComfyUI's models folder? */
  readonly placesModels: boolean;
  /** Takes only jobs that have waited so long; 0: any. */
  readonly overflowMs: number;
  readonly cancels: Cancels;
  readonly declines: Declines;
  readonly pulse: Pulse;
  /** Aborts when this worker leaves the queue. */
  readonly closing: AbortSignal;
  /** What ghosts still have to write before this worker leaves. */
  readonly lastWords: Set<Promise<void>>;
  readonly onNotTaken: (notTaken: NotTaken) => void;
  readonly beforeEnding: BeforeEnding;
  /** What it may keep of results; undefined: nothing, and then no job is given one here. */
  readonly cacheLimits: CacheLimits | undefined;
  readonly onRendered: (shared: number) => void;
  readonly limits: Limits;
  /** Of its instance, at this claim. */
  readonly fingerprint: string | undefined;
}

/** What a held job has to do with wishes to cancel it. */
export interface Drop {
  /** Aborts with a DropReason. */
  readonly signal: AbortSignal;
  unlisten(): void;
}
