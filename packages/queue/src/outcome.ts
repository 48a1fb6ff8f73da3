import type { JobFailure, Manifest } from "@comfyq/contract";
import type { Berth } from "./flights.ts";

/** How a held job is let go. Only settle.ts acts on it. */
export type Outcome =
  /** The manifest is sealed. */
  | { readonly kind: "succeeded"; readonly manifest: Manifest }
  /** For good; `error.code` may be `canceled` or `expired`, which are statuses of their own. */
  | { readonly kind: "failed"; readonly error: JobFailure }
  /** Another try, not before `afterMs`. */
  | { readonly kind: "retry"; readonly error: JobFailure; readonly afterMs: number; readonly counted: boolean }
  /**
   * No fault of the job: drain, instance away. Goes back to the front of its level, and the try does not count. `error` is
   * kept in the journal: a job under which ComfyUI dies again and again is poison.
   */
  | { readonly kind: "give_back"; readonly reason: string; readonly error?: JobFailure | undefined }
  /** The result is there, or another job renders it now: it is put aside until it is given that. The try does not count. */
  | { readonly kind: "shared"; readonly berth: Extract<Berth, { kind: "hit" | "follow" }> };
