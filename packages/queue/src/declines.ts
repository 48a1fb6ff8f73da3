/**
 * For how long this worker has been declining jobs, by a name for the job as it became available. In memory only: it is about
 * this worker's patience.
 */
export interface Declines {
  /** Ms since it was declined first; 0 when it was not. */
  declinedForMs(name: string): number;
  /** @returns how long the job shall wait now, in ms */
  decline(name: string): number;
}

interface DeclineOptions {
  readonly firstDeclineMs: number;
  readonly declineMs: number;
  /** What was not seen for this long is forgotten. */
  readonly forgetAfterMs: number;
  readonly nowMs: () => number;
}

const REMEMBERED = 1_000;

/** @param options clock and waits; `nowMs` must never jump */
export function rememberDeclines(options: DeclineOptions): Declines {
  const seen = new Map<string, { readonly firstAtMs: number; readonly lastAtMs: number }>();
  const known = (name: string) => {
    const entry = seen.get(name);
    return entry && options.nowMs() - entry.lastAtMs <= options.forgetAfterMs ? entry : undefined;
  };
  return {
    declinedForMs: (name) => options.nowMs() - (known(name)?.firstAtMs ?? options.nowMs()),
    decline: (name) => {
      const before = known(name);
      const lastAtMs = options.nowMs();
      seen.delete(name); // a map keeps the order of insertion: the longest unseen goes first
      seen.set(name, { firstAtMs: before?.firstAtMs ?? lastAtMs, lastAtMs });
      const [oldest] = seen.keys();
      if (seen.size > REMEMBERED && oldest !== undefined) seen.delete(oldest);
      return before ? options.declineMs : options.firstDeclineMs;
    },
  };
}
