import { every, monotonicMs } from "@comfyq/runtime";
import { parentToDieWith } from "../config.ts";

/** One Ctrl-C arrives several times: from the terminal, from npm, from the script between. Later is a second one. */
const SECOND_SIGNAL_MS = 1_000;
const PARENT_MS = 1_000;

/** Somebody wants us to end. */
export interface StopWish {
  /** Aborts at the first signal, or when the process that must stay our parent is gone. */
  readonly signal: AbortSignal;
  /** Aborts at a second Ctrl-C: no more patience. */
  readonly atOnce: AbortSignal;
}

/** Listens for SIGINT, SIGTERM, SIGHUP (a closed terminal) and the parent's death, for the rest of this process's life. */
export function listenForStop(): StopWish {
  const stop = new AbortController();
  const atOnce = new AbortController();
  let firstAtMs = 0;
  const wish = (why: string): void => {
    if (!stop.signal.aborted) {
      firstAtMs = monotonicMs();
      stop.abort(new Error(why));
    } else if (why === "SIGINT" && monotonicMs() - firstAtMs > SECOND_SIGNAL_MS) {
      atOnce.abort(new Error("second Ctrl-C"));
    }
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => wish(name));
  watchParent(stop.signal, wish);
  return { signal: stop.signal, atOnce: atOnce.signal };
}

function watchParent(signal: AbortSignal, wish: (why: string) => void): void {
  const parent = parentToDieWith();
  if (parent === undefined) return;
  const look = (): void => {
    if (process.ppid !== parent) wish("the process that started comfyq is gone");
  };
  void every(PARENT_MS, look, { signal, onError: () => undefined, unref: true });
}
