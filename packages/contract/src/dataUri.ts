/** A data URI's bytes, in memory: they came in a JSON body, so they are a few MB at most. */
export interface DataUri {
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** Reads `data:<type>[;…][;base64],<bytes>` (RFC 2397). @returns undefined when it is none, or has no bytes */
export function parseDataUri(uri: string): DataUri | undefined {
  const comma = uri.indexOf(",");
  if (!uri.startsWith("data:") || comma === -1) return undefined;
  const [type = "", ...parameters] = uri.slice("data:".length, comma).split(";");
  const text = uri.slice(comma + 1);
  const bytes = parameters.includes("base64") ? Buffer.from(text, "base64") : percentDecoded(text);
  return bytes && bytes.length > 0 ? { contentType: type.toLowerCase() || "text/plain", bytes } : undefined;
}

function percentDecoded(text: string): Uint8Array | undefined {
  try {
    return Buffer.from(decodeURIComponent(text));
  } catch {
    return undefined;
  }
}
