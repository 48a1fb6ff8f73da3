import type { S3Operation } from "./operation.ts";
import type { World } from "./world.ts";

/** What a server has done and holds; a copy that does not change any more. */
export interface FakeS3Stats {
  /** Requests by operation, whatever they were answered with. */
  readonly requests: Readonly<Partial<Record<S3Operation, number>>>;
  /** Requests that were refused before their operation: signature, date, address. */
  readonly refusedRequests: number;
  /** Body bytes, aws-chunked framing included. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Connections of clients, idle ones included. */
  readonly openConnections: number;
  /** Multipart uploads neither completed nor aborted. */
  readonly openUploads: number;
  readonly objects: number;
  readonly storedBytes: number;
}

/** Counts for one server. */
export class Counters {
  readonly requests = new Map<S3Operation, number>();
  refusedRequests = 0;
  bytesIn = 0;
  bytesOut = 0;
  openConnections = 0;

  count(operation: S3Operation): void {
    this.requests.set(operation, (this.requests.get(operation) ?? 0) + 1);
  }

  snapshot(world: World): FakeS3Stats {
    const totals = [...world.buckets.values()].map((bucket) => bucket.totals);
    return {
      requests: Object.fromEntries(this.requests),
      refusedRequests: this.refusedRequests,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      openConnections: this.openConnections,
      openUploads: world.uploads.size,
      objects: totals.reduce((sum, each) => sum + each.objects, 0),
      storedBytes: totals.reduce((sum, each) => sum + each.storedBytes, 0),
    };
  }
}
