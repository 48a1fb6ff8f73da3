import type { GetOptions } from "./storage.ts";
import { type Doing, storageError } from "./storageError.ts";

/** Bytes `start` (included) to `end` (excluded) of an object of `totalBytes`; `end` is cut to its size, as in HTTP. */
export function resolveRange(
  range: GetOptions["range"],
  totalBytes: number,
  doing: Doing,
): { start: number; end: number } {
  if (!range) return { start: 0, end: totalBytes };
  checkRange(range, doing);
  const end = Math.min((range.end ?? Number.POSITIVE_INFINITY) + 1, totalBytes);
  if (range.start < end) return { start: range.start, end };
  throw storageError("range_not_satisfiable", doing, { detail: `byte ${range.start} of ${totalBytes} was asked` });
}

/** @throws StorageError `range_not_satisfiable` when it is no range at all */
export function checkRange({ start, end }: NonNullable<GetOptions["range"]>, doing: Doing): void {
  const whole = Number.isSafeInteger(start) && (end === undefined || Number.isSafeInteger(end));
  if (whole && start >= 0 && (end === undefined || end >= start)) return;
  throw storageError("range_not_satisfiable", doing, { detail: `${start} to ${end ?? "the end"} is no range` });
}
