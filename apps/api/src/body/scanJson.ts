/** How deep and how large a JSON text is, as far as its bytes tell. */
export interface JsonShape {
  readonly depth: number;
  /** Commas and opening brackets outside strings: no fewer than the values it holds, at most twice as many. */
  readonly values: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/**
 * Measures a JSON text before it is parsed, in one pass and without memory of its own: 10 MB of `[0,0,0…` or of `[[[[…`
 * would cost JSON.parse, and every reader after it, a thousand times more. Stops as soon as a limit is passed.
 */
export function scanJson(bytes: Buffer, limit: JsonShape): JsonShape {
  let depth = 0;
  let deepest = 0;
  let values = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if (byte === COMMA) values += 1;
    else if (byte === 0x5b || byte === 0x7b) {
      values += 1;
      depth += 1;
      deepest = Math.max(deepest, depth);
    } else if (byte === 0x5d || byte === 0x7d) depth -= 1;
    if (deepest > limit.depth || values > limit.values) break;
  }
  return { depth: deepest, values };
}

/** Where the string that begins at `start` ends; the end of the text when it does not. */
function endOfString(bytes: Buffer, start: number): number {
  for (let end = bytes.indexOf(QUOTE, start + 1); end !== -1; end = bytes.indexOf(QUOTE, end + 1)) {
    let slashes = 0;
    while (bytes[end - 1 - slashes] === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
  return bytes.length;
}
