import { FakeS3Error } from "./fakeS3Error.ts";

/** Longest line of an aws-chunked body; a chunk header is about 90 bytes. */
const LONGEST_LINE_BYTES = 8192;

/** Takes a stream of buffers apart by lines and by counts, without keeping more than one chunk. */
export class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next line without its CRLF. @throws FakeS3Error `IncompleteBody` when the stream ends first */
  async readLine(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#rest.subarray(0, end).toString("latin1");
        this.#rest = this.#rest.subarray(end + 2);
        return line;
      }
      if (this.#rest.length > LONGEST_LINE_BYTES) throw new FakeS3Error("InvalidRequest", "A chunk header is too long");
      await this.#more();
    }
  }

  /** Exactly `count` bytes, in pieces as they come. @throws FakeS3Error `IncompleteBody` */
  async *readBytes(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if (this.#rest.length === 0) await this.#more();
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      if (piece.length > 0) yield piece;
    }
  }

  async #more(): Promise<void> {
    const next = await this.#source.next();
    if (next.done) throw new FakeS3Error("IncompleteBody", "The body ended before its announced end");
    this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value]);
  }
}
