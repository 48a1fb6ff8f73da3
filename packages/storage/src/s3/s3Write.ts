import { safeContentType } from "../contentTypeOf.ts";
import type { PutOptions } from "../storage.ts";
import type { Doing } from "../storageError.ts";
import type { S3Place } from "./s3Place.ts";

/** One put on its way. */
export interface S3Write {
  readonly place: S3Place;
  readonly doing: Doing;
  readonly at: { readonly Bucket: string; readonly Key: string };
  /** What S3 keeps with the object. */
  readonly facts: { readonly ContentType: string; readonly ContentDisposition?: string };
  /** Aborts by the caller, or when one half of this put fails and the other must stop. */
  readonly signal: AbortSignal;
  readonly stop: (reason: unknown) => void;
}

/** @throws StorageError `invalid_key` */
export function beginWrite(place: S3Place, key: string, options: PutOptions): S3Write {
  const stopper = new AbortController();
  const { contentType, contentDisposition } = options;
  return {
    place,
    doing: place.doing("store", key),
    at: place.at(key),
    facts: {
      ContentType: safeContentType(contentType),
      ...(contentDisposition !== undefined && { ContentDisposition: contentDisposition }),
    },
    signal: options.signal ? AbortSignal.any([stopper.signal, options.signal]) : stopper.signal,
    stop: (reason) => stopper.abort(reason),
  };
}
