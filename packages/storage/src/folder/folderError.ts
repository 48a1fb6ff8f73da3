import { type Doing, StorageError, type StorageErrorCode, storageError } from "../storageError.ts";

/** Errors of the file system whose meaning does not depend on what was tried. Source: errno(3). */
const CODE_OF: Readonly<Record<string, StorageErrorCode>> = {
  EACCES: "forbidden",
  EDQUOT: "disk_full",
  EEXIST: "invalid_key", // a folder stands where the object should, or the other way round
  EFBIG: "disk_full",
  EISDIR: "invalid_key",
  ELOOP: "invalid_key",
  ENAMETOOLONG: "invalid_key",
  ENOSPC: "disk_full",
  ENOTDIR: "invalid_key",
  ENOTEMPTY: "invalid_key",
  ENOTSUP: "unsupported",
  EPERM: "forbidden",
  EROFS: "forbidden",
};

/**
 * Makes an error of the file system one of this room; one that already is stays.
 * @param missing what a missing file means here; for a reader what is below a file, or a link, is missing too
 */
export function folderError(error: unknown, doing: Doing, missing: "not_found" | "bucket_missing"): StorageError {
  if (error instanceof StorageError) return error;
  const errno = errnoOf(error);
  const absent = errno === "ENOENT" || (missing === "not_found" && ["ENOTDIR", "ELOOP"].includes(errno));
  const code = absent ? missing : (CODE_OF[errno] ?? "unavailable");
  return storageError(code, doing, { detail: error instanceof Error ? error.message : String(error), cause: error });
}

/** `ENOENT`, `ENOSPC`, …; "" when it is no error of the file system. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
