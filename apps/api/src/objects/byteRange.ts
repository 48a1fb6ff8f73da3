/** Which bytes of a file are asked for; both ends included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a Range header (RFC 9110 §14.2) against a file's size. Several ranges at once, other units and nonsense mean the
 * whole file, as the RFC allows.
 * @returns `"whole"`, `"unsatisfiable"` (416), or the bytes
 */
export function parseRange(header: string | undefined, totalBytes: number): ByteRange | "whole" | "unsatisfiable" {
  const [, first = "", last = ""] = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? "") ?? [];
  if (first === "" && last === "") return "whole";
  if (first === "") {
    const length = Math.min(Number(last), totalBytes);
    return length === 0 ? "unsatisfiable" : { start: totalBytes - length, end: totalBytes - 1 };
  }
  const start = Number(first);
  const end = last === "" ? totalBytes - 1 : Math.min(Number(last), totalBytes - 1);
  if (last !== "" && Number(last) < start) return "whole"; // no range at all, says the RFC
  return start >= totalBytes ? "unsatisfiable" : { start, end };
}
