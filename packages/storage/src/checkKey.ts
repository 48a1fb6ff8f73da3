import { StorageError } from "./storageError.ts";

/** S3's limit for a whole key. */
const LONGEST_KEY_BYTES = 1024;
/** The limit of common file systems for one name. */
const LONGEST_SEGMENT_BYTES = 255;
/** Where a folder keeps its drafts; forbidden in buckets too, so that both stores take the same keys. */
export const RESERVED_SEGMENT = ".comfyq";
/** Control characters, and those that turn the direction of text and so hide an extension. */
const HIDDEN_CHARACTERS = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

/**
 * Returns the key if both stores can hold it and no file system can be led astray by it: 1 to 1024 bytes of well-formed
 * NFC text, segments of 1 to 255 bytes joined by `/`, none of them `.` or `..`, no backslash, no control or
 * text-direction characters, not below `.comfyq`.
 * @throws StorageError `invalid_key`
 */
export function checkKey(key: string): string {
  const fault = findFault(key) ?? key.split("/").map(findSegmentFault).find(Boolean);
  if (fault) refuse("key", key, fault);
  return key;
}

/**
 * `checkKey` for the beginning of a key: "" and a trailing `/` are allowed.
 * @throws StorageError `invalid_key`
 */
export function checkPrefix(prefix: string): string {
  if (prefix === "") return prefix;
  const segments = prefix.replace(/\/$/, "").split("/");
  const fault = findFault(prefix) ?? segments.map(findSegmentFault).find(Boolean);
  if (fault) refuse("prefix", prefix, fault);
  return prefix;
}

/**
 * A prefix that names a whole folder and so cannot match half a segment: it must end in `/`.
 * @throws StorageError `invalid_key`
 */
export function checkFolderPrefix(prefix: string): string {
  if (!prefix.endsWith("/")) refuse("prefix", prefix, "it must end in / here");
  return checkPrefix(prefix);
}

function findFault(key: string): string | undefined {
  if (key === "") return "it is empty";
  if (Buffer.byteLength(key) > LONGEST_KEY_BYTES) return `it is longer than ${LONGEST_KEY_BYTES} bytes`;
  if (!key.isWellFormed() || key !== key.normalize("NFC")) return "it is not well-formed NFC text";
  if (HIDDEN_CHARACTERS.test(key) || key.includes("\\")) return "it has a backslash or a control character";
  if (key.split("/")[0] === RESERVED_SEGMENT) return `${RESERVED_SEGMENT} is the store's own`;
  return undefined;
}

function findSegmentFault(segment: string): string | undefined {
  if (segment === "") return "a segment is empty";
  if (segment === "." || segment === "..") return "a segment is . or ..";
  if (Buffer.byteLength(segment) > LONGEST_SEGMENT_BYTES)
    return `a segment is longer than ${LONGEST_SEGMENT_BYTES} bytes`;
  return undefined;
}

function refuse(what: "key" | "prefix", text: string, fault: string): never {
  const shown = JSON.stringify(text.slice(0, 120));
  throw new StorageError("invalid_key", `The storage ${what} ${shown} cannot be used: ${fault}; use safeKeySegment`);
}
