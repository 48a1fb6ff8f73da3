// The pure halves of claiming and of holding a lock, for models of a job's life that bring their own clock.
export { type ClaimFacts, type ClaimVerdict, judgeClaim } from "../judgeClaim.ts";
export { fenceAtMs, type Lease, type LeaseNews, leaseAfter, newLease } from "../lease.ts";
export { type OpenFacts, openStatus } from "../stateOf.ts";
export { type PrivateRedis, startPrivateRedis } from "./privateRedis.ts";
export { openRawQueue, openRawWorker, type RawQueue } from "./rawBull.ts";
