import { Readable } from "node:stream";

/** What a pulled stream does when its source ends badly or it is no longer wanted. */
export interface PullEnds {
  readonly onFailure: (error: unknown, stream: Readable) => void;
  /** Must make a pending `next` of the generator return: the generator cannot be closed before. */
  readonly onDestroy: () => void;
}

/**
 * A stream that asks a generator for one chunk at a time. Unlike `Readable.from`, destroying it does not wait for the
 * chunk that is under way, and what a failure does to it is the caller's choice.
 */
export function pullStream(chunks: AsyncGenerator<Buffer>, ends: PullEnds): Readable {
  const stream: Readable = new Readable({
    read() {
      chunks.next().then(
        ({ done, value }) => void stream.push(done ? null : value),
        (error: unknown) => ends.onFailure(error, stream),
      );
    },
    destroy(error, done) {
      ends.onDestroy();
      // its own failure has been told already
      void chunks.return(undefined).catch(() => {});
      done(error);
    },
  });
  return stream;
}
