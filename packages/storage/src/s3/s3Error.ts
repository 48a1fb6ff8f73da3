import { type Doing, StorageError, type StorageErrorCode, storageError } from "../storageError.ts";

/** What the SDK tells about a failed request, in one shape. */
export interface SdkFailure {
  /** S3's error code, or the SDK's or Node's own name. */
  readonly name: string;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** How often the SDK had tried. */
  readonly attempts: number;
  readonly message: string;
}

/** S3's error codes (S3 API reference) and the SDK's names that mean something else than their status. */
const CODE_OF: Readonly<Record<string, StorageErrorCode>> = {
  AuthorizationHeaderMalformed: "not_configured", // signed for another region
  BadDigest: "checksum_mismatch",
  CredentialsProviderError: "forbidden",
  EntityTooLarge: "unsupported",
  ExpiredToken: "forbidden",
  IncompleteBody: "size_mismatch",
  InvalidDigest: "checksum_mismatch",
  InvalidRange: "range_not_satisfiable",
  InvalidToken: "forbidden",
  NoSuchBucket: "bucket_missing",
  NoSuchKey: "not_found",
  NoSuchUpload: "unavailable", // our upload was swept away or the store forgot it: a new one will do
  NotFound: "not_found",
  PermanentRedirect: "not_configured",
  QuotaExceeded: "disk_full",
  RequestTimeout: "unavailable",
  XAmzContentSHA256Mismatch: "checksum_mismatch",
  XMinioStorageFull: "disk_full",
};

/** Makes a failure of the SDK one of this room; one that already is stays. */
export function s3Error(error: unknown, doing: Doing): StorageError {
  if (error instanceof StorageError) return error;
  const failure = readSdkFailure(error);
  const detail =
    failure.status === 0 ? failure.message : `${failure.status} ${failure.name}: ${failure.message}${hintOf(failure)}`;
  return storageError(codeOf(failure, error), doing, { detail, cause: error });
}

/** What R2 and older stores say of today's checksums. */
function hintOf({ status }: SdkFailure): string {
  return status === 501 ? '; if it does not know checksums, set "when_required" (S3_CHECKSUMS)' : "";
}

export function readSdkFailure(error: unknown): SdkFailure {
  if (!(error instanceof Error)) return { name: "", status: 0, attempts: 1, message: String(error) };
  // the SDK hangs this on every error it throws, whatever its class
  const { $metadata = {} } = error as { $metadata?: { httpStatusCode?: number; attempts?: number } };
  const { httpStatusCode = 0, attempts = 1 } = $metadata;
  return { name: error.name, status: httpStatusCode, attempts, message: error.message };
}

function codeOf({ name, status, message }: SdkFailure, error: unknown): StorageErrorCode {
  const known = CODE_OF[name];
  if (known) return known;
  if (/checksum mismatch/i.test(message)) return "checksum_mismatch"; // the SDK's ChecksumStream has no code
  if (/region is missing/i.test(message)) return "not_configured";
  if (status === 0) return isSilence(name, error) ? "slow" : "unavailable";
  return codeOfStatus(status);
}

function codeOfStatus(status: number): StorageErrorCode {
  if (status === 301 || status === 307) return "not_configured"; // the bucket lives in another region
  if (status === 401 || status === 403) return "forbidden";
  if (status === 404) return "not_found";
  if (status === 507) return "disk_full";
  if (status === 501 || (status >= 400 && status < 500 && status !== 408 && status !== 409 && status !== 429)) {
    return "unsupported";
  }
  return "unavailable"; // 5xx, SlowDown, and a 2xx whose body cannot be read
}

/**
 * The SDK calls many things a TimeoutError: silence on a connection, but also a refused, reset or never made one.
 * Source: @smithy/node-http-handler 4.14, set-socket-timeout.js, set-request-timeout.js, set-connection-timeout.js.
 */
function isSilence(name: string, error: unknown): boolean {
  const broken = error instanceof Error && ("syscall" in error || /ECONNRESET|EPIPE/.test(codeText(error)));
  return name === "TimeoutError" && !broken && error instanceof Error && !/did not establish/.test(error.message);
}

function codeText(error: Error): string {
  return "code" in error ? String(error.code) : "";
}
