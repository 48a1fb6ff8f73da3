import { crc32 } from "node:zlib";
import type { BodyWatch } from "../readBody.ts";
import { readSource } from "../readSource.ts";
import type { BodySource, ByteSpan } from "../storage.ts";
import { storageError } from "../storageError.ts";

/** One part of a source, which may have to be read more than once but is measured once. */
export class PartReading {
  readonly number: number;
  /** Settles when all of its bytes have been read and measured for the first time. */
  readonly wasRead: Promise<void>;
  readonly #span: ByteSpan;
  readonly #source: BodySource;
  readonly #watch: BodyWatch;
  readonly #failures = new WeakSet<object>();
  /** The longest beginning that any try has read; it has been measured. */
  #seenBytes = 0;
  #seenCrc32 = 0;
  #markRead: () => void = () => {};

  constructor(number: number, span: ByteSpan, source: BodySource, watch: BodyWatch) {
    this.number = number;
    this.#span = span;
    this.#source = source;
    this.#watch = watch;
    this.wasRead = new Promise((resolve) => {
      this.#markRead = resolve;
    });
  }

  get sizeBytes(): number {
    return this.#span.end - this.#span.start;
  }

  /** Of the whole part, once it was read. */
  get crc32(): number {
    return this.#seenCrc32;
  }

  /** Did reading fail with this? Then another try with S3 would not help. */
  hasFailed(error: unknown): boolean {
    return typeof error === "object" && error !== null && this.#failures.has(error);
  }

  /**
   * The bytes from the beginning. One reading at a time.
   * @throws StorageError `checksum_mismatch` when they are not those of the try before
   */
  async *read(signal: AbortSignal): AsyncGenerator<Buffer> {
    try {
      yield* this.#measured(signal);
      this.#markRead();
    } catch (error) {
      if (typeof error === "object" && error !== null && !signal.aborted) this.#failures.add(error);
      throw error;
    }
  }

  async *#measured(signal: AbortSignal): AsyncGenerator<Buffer> {
    let readBytes = 0;
    let sum = 0;
    for await (const chunk of readSource(this.#source, this.#span, { ...this.#watch, signal })) {
      const again = chunk.subarray(0, Math.max(this.#seenBytes - readBytes, 0));
      if (again.length > 0) {
        readBytes += again.length;
        sum = crc32(again, sum);
        if (readBytes === this.#seenBytes && sum !== this.#seenCrc32) throw this.#changed();
      }
      if (again.length < chunk.length) {
        const fresh = chunk.subarray(again.length);
        this.#watch.measure.update(fresh);
        readBytes += fresh.length;
        sum = crc32(fresh, sum);
        this.#seenBytes = readBytes;
        this.#seenCrc32 = sum;
      }
      yield chunk;
    }
  }

  #changed(): Error {
    const detail = `part ${this.number} of its source is not what it was a moment ago`;
    return storageError("checksum_mismatch", this.#watch.doing, { detail });
  }
}
