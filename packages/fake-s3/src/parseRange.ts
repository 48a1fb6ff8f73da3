import { FakeS3Error } from "./fakeS3Error.ts";

/** Bytes `start` (included) to `end` (excluded); `asked` when the client named a range. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
  readonly asked: boolean;
}

/**
 * Reads a Range header of one range (RFC 9110 §14.1.2). What it does not understand it ignores, as HTTP wants.
 * @throws FakeS3Error `InvalidRange` when no byte of the object is in the range
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return { start: 0, end: sizeBytes, asked: false };
  const [first, last] = [match[1] ?? "", match[2] ?? ""];
  const start = first === "" ? Math.max(sizeBytes - Number(last), 0) : Number(first);
  const end = first === "" || last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (start >= end) throw new FakeS3Error("InvalidRange", "The requested range is not satisfiable");
  return { start, end, asked: true };
}
