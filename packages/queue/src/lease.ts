/** What a process knows of a lock it holds in Redis. Moments are monotonic ms of this process. */
export interface Lease {
  /** When the newest renewal that Redis granted was asked for: the lock lasts `lockMs` from then, or longer. */
  readonly confirmedAtMs: number;
  /** Once true, always true. */
  readonly isLost: boolean;
}

export type LeaseNews =
  /** Somebody asks whether it is still ours, or a timer does. */
  | { readonly kind: "looked"; readonly atMs: number }
  /** Redis granted a renewal. The answer may be as late as it likes: it counts from when it was asked. */
  | { readonly kind: "granted"; readonly askedAtMs: number }
  /** Redis said that the lock is another's, or nobody's. */
  | { readonly kind: "refused" };

export function newLease(askedAtMs: number): Lease {
  return { confirmedAtMs: askedAtMs, isLost: false };
}

/** The moment from which the lock counts as lost unless a later renewal is granted; before it can end in Redis. */
export function fenceAtMs(lease: Lease, fenceMs: number): number {
  return lease.confirmedAtMs + fenceMs;
}

/**
 * Pure: what is known after some news. A look at or past the fence loses the lease for good, even if an answer that would
 * have saved it is still under way: by then nobody here may act on it any more.
 */
export function leaseAfter(lease: Lease, news: LeaseNews, fenceMs: number): Lease {
  if (lease.isLost) return lease;
  switch (news.kind) {
    case "looked":
      return news.atMs >= fenceAtMs(lease, fenceMs) ? { ...lease, isLost: true } : lease;
    case "granted":
      // Answers may overtake each other after a reconnect: an older one takes nothing away.
      return { ...lease, confirmedAtMs: Math.max(lease.confirmedAtMs, news.askedAtMs) };
    case "refused":
      return { ...lease, isLost: true };
  }
}
