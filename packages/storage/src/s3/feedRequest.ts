import type { Readable } from "node:stream";
import { pullStream } from "../pullStream.ts";

/** A body for one SDK request. */
export interface FedRequest {
  readonly stream: Readable;
  /** What its source failed with, if it did. */
  readonly failure: () => unknown;
  /** Reads what the request did not: an answer may come before the source has shown that it ends. @throws its failure */
  readonly finish: () => Promise<void>;
}

/**
 * When the source fails, the stream stops silently and `onFailure` is called, which must abort the request: the SDK wraps
 * the body in a stream of its own (getAwsChunkedEncodingStream) whose error nobody listens to, so an `error` event here
 * would end the process.
 */
export function feedRequest(chunks: AsyncGenerator<Buffer>, onFailure: (reason: unknown) => void): FedRequest {
  let failure: unknown;
  const stream = pullStream(chunks, {
    onFailure: (error) => {
      failure = error;
      onFailure(error);
    },
    onDestroy: () => {}, // the body has an owner that destroys it
  });
  const finish = async () => {
    while (!(await chunks.next()).done);
    if (failure !== undefined) throw failure;
  };
  return { stream, failure: () => failure, finish };
}
