const NOTHING: Buffer = Buffer.alloc(0);

/** Bytes that arrive in pieces, for whoever reads a format: look ahead, pass on, leave out. */
export class ByteFeed {
  readonly #source: AsyncIterator<Buffer>;
  #held = NOTHING;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next `count` bytes, which stay where they are; fewer only at the end. */
  async peek(count: number): Promise<Buffer> {
    const pieces = [this.#held];
    for (let length = this.#held.length; length < count; ) {
      const next = await this.#source.next();
      if (next.done) break;
      pieces.push(next.value);
      length += next.value.length;
    }
    if (pieces.length > 1) this.#held = Buffer.concat(pieces);
    return this.#held.subarray(0, count);
  }

  /** The next `count` bytes; fewer only at the end. */
  async take(count: number): Promise<Buffer> {
    const taken = await this.peek(count);
    this.#held = this.#held.subarray(taken.length);
    return taken;
  }

  /** The next `count` bytes, piece by piece. */
  async *pass(count: number): AsyncGenerator<Buffer> {
    for (let left = count; left > 0; ) {
      if ((await this.peek(1)).length === 0) return;
      const piece = await this.take(Math.min(left, this.#held.length));
      left -= piece.length;
      yield piece;
    }
  }

  /** Passes over the next `count` bytes. */
  async skip(count: number): Promise<void> {
    for await (const _ of this.pass(count));
  }

  /** As many zeros as the next `count` bytes are, in place of them. */
  async *blank(count: number): AsyncGenerator<Buffer> {
    for await (const piece of this.pass(count)) yield Buffer.alloc(piece.length);
  }

  /** All that is left. */
  rest(): AsyncGenerator<Buffer> {
    return this.pass(Number.POSITIVE_INFINITY);
  }
}
