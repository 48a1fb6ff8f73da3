/** Bytes of a file, wherever they stand. Fewer than asked for at its end. */
export type ReadAt = (position: number, length: number) => Promise<Buffer>;

const WINDOW_BYTES = 65_536;

/** Reads a little at a time and the file in large pieces: a header is looked at byte by byte. */
export function byteWindow(read: ReadAt): ReadAt {
  let start = 0;
  let window: Buffer = Buffer.alloc(0);
  return async (position, length) => {
    if (length > WINDOW_BYTES) return read(position, length);
    if (position < start || position + length > start + window.length) {
      start = position;
      window = await read(position, WINDOW_BYTES);
    }
    return window.subarray(position - start, position - start + length);
  };
}
