import { FakeS3Error } from "./fakeS3Error.ts";

/** One `name=value` of a query string, both decoded. */
export type QueryPair = readonly [name: string, value: string];

/** Reads a raw query string. A `+` stays a plus, as in S3: only `%20` means a space. */
export function parseQuery(raw: string): readonly QueryPair[] {
  return raw
    .split("&")
    .filter((piece) => piece !== "")
    .map((piece) => {
      const at = piece.indexOf("=");
      return at < 0 ? [decode(piece), ""] : [decode(piece.slice(0, at)), decode(piece.slice(at + 1))];
    });
}

/** Decodes a percent-encoded text. @throws FakeS3Error `InvalidURI` */
export function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new FakeS3Error("InvalidURI", `Could not parse the specified URI: ${text}`, { cause });
  }
}

/** Percent-encodes everything but letters, digits and `-._~`, as SigV4 wants it. */
export function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** `encodeStrictly` for a path: the slashes stay. */
export function encodePath(path: string): string {
  return path.split("/").map(encodeStrictly).join("/");
}
