/** What can go wrong with a store, and whether the same call may succeed later without anybody mending anything. */
export const STORAGE_ERRORS = {
  aborted: { retryable: false }, // the caller's signal; its reason is the cause
  bucket_missing: { retryable: false }, // the bucket or the folder itself is not there
  checksum_mismatch: { retryable: true }, // what arrived is not what was sent
  disk_full: { retryable: true }, // or over its quota: somebody may make room
  forbidden: { retryable: false },
  invalid_key: { retryable: false },
  not_configured: { retryable: false }, // the storage URL or an option is missing or makes no sense
  not_found: { retryable: false },
  range_not_satisfiable: { retryable: false }, // the object has no byte in the asked range
  size_mismatch: { retryable: true }, // more or fewer bytes than were announced
  slow: { retryable: true }, // no byte moved for `idleTimeoutMs`
  unavailable: { retryable: true }, // the store did not answer, or said that it is busy
  unsupported: { retryable: false }, // this store cannot do what we need
} as const satisfies Record<string, { retryable: boolean }>;

export type StorageErrorCode = keyof typeof STORAGE_ERRORS;

/** The one error of this room. Compare `code`; `cause` is what the store or the file system said. */
export class StorageError extends Error {
  readonly code: StorageErrorCode;
  readonly retryable: boolean;

  constructor(code: StorageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StorageError";
    this.code = code;
    this.retryable = STORAGE_ERRORS[code].retryable;
  }
}

/** What was tried, for the message. */
export interface Doing {
  /** A verb: `store`, `read`, … */
  readonly what: string;
  readonly key?: string;
  /** `s3://bucket/prefix` or `file:///folder`. */
  readonly place: string;
}

const NEXT_STEP: Readonly<Record<StorageErrorCode, string>> = {
  aborted: "the caller gave up",
  bucket_missing: "create the bucket or the folder, or correct the storage URL",
  checksum_mismatch: "send it again; if it happens often, look at the network and at the store's own logs",
  disk_full: "make room or raise the quota",
  forbidden: "check the credentials, the bucket policy or the folder's permissions, and this machine's clock",
  invalid_key: "choose another key",
  not_configured: "correct the storage settings",
  not_found: "nothing is stored under this key",
  range_not_satisfiable: "ask for bytes the object has",
  size_mismatch: "read the source again and send it again",
  slow: "try again; if it happens often, look at the network",
  unavailable: "try again in a moment",
  unsupported: "use a store that can do this",
};

/** An error whose message says what happened, to what, and what to do next. */
export function storageError(
  code: StorageErrorCode,
  doing: Doing,
  reason: { detail: string; cause?: unknown },
): StorageError {
  const subject = doing.key === undefined ? doing.place : `"${doing.key}" in ${doing.place}`;
  const message = `Could not ${doing.what} ${subject}: ${reason.detail}; ${NEXT_STEP[code]}`;
  return new StorageError(code, message, { cause: reason.cause });
}

/** The error for a call whose signal was aborted. */
export function abortedError(doing: Doing, signal: AbortSignal): StorageError {
  return storageError("aborted", doing, { detail: "the call was aborted", cause: signal.reason });
}
