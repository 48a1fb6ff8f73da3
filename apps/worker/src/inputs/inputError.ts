import { Readable } from "node:stream";
import type { SafeFetchError } from "@comfyq/runtime";
import type { StorageError, StorageErrorCode } from "@comfyq/storage";
import { JobError } from "../jobError.ts";

/** Says whether trying the same address again can help. */
export function inputError(label: string, cause: SafeFetchError): JobError {
  const message = `Input ${label} could not be fetched: ${cause.message}`;
  if (cause.code === "too_large") return new JobError("input_too_large", message, { cause });
  const mayPass = ["timed_out", "idle", "unreachable", "length_mismatch"].includes(cause.code);
  return new JobError(mayPass ? "input_unreachable" : "input_unavailable", message, { cause });
}

/** What a store's trouble means for whoever wants to read one object. */
const STORE_TROUBLES: Readonly<Partial<Record<StorageErrorCode, string>>> = {
  bucket_missing: "there is no such bucket; check its name, and the credential's region and endpoint",
  checksum_mismatch: "what arrived is not what the store has; it is tried again",
  forbidden: "access was refused; check the credential and its right to read this object",
  invalid_key: "its key cannot be read; choose one without empty, . or .. parts",
  not_configured: "the bucket lives in another region, or at another endpoint; correct the credential",
  not_found: "there is no such object; check the key, or upload it again",
  size_mismatch: "fewer or more bytes came than were announced; it is tried again",
  slow: "the store stopped sending; it is tried again",
  unavailable: "the store failed; it is tried again",
};

/** @param shown the source as it may be shown */
export function storeError({ label, shown }: { label: string; shown: string }, cause: StorageError): JobError {
  const why = STORE_TROUBLES[cause.code] ?? `it could not be read (${cause.code})`;
  return new JobError(cause.retryable ? "input_unreachable" : "input_unavailable", `Input ${label}: ${shown}: ${why}`, {
    cause,
  });
}

/** The same bytes, whose end is told in our words when they break off. Destroying it destroys the source. */
export function explained(source: Readable, explain: (error: unknown) => unknown): Readable {
  const body = Readable.from(passOn(source, explain), { objectMode: false });
  return body.on("close", () => source.destroy());
}

async function* passOn(source: Readable, explain: (error: unknown) => unknown): AsyncGenerator<Buffer> {
  try {
    const chunks: AsyncIterable<Buffer> = source;
    for await (const chunk of chunks) yield chunk;
  } catch (error) {
    throw explain(error);
  }
}
