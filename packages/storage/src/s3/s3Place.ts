import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { checkKey, checkPrefix } from "../checkKey.ts";
import type { StorageSettings } from "../settings.ts";
import { type Doing, storageError } from "../storageError.ts";

/** Connections kept at most: a put uses two, and a process that serves many readers one each. */
const MOST_SOCKETS = 128;
/** S3's limit, our prefix included. */
const LONGEST_KEY_BYTES = 1024;
const SILENT = { trace: () => {}, debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** One prefix of one bucket, and the connections to it. */
export class S3Place {
  /** `s3://bucket/prefix` */
  readonly place: string;
  readonly bucket: string;
  readonly settings: StorageSettings;
  /** For everything but bodies that come from S3: no byte in or out for `idleTimeoutMs` ends a request. */
  readonly client: S3Client;
  /** For bodies from S3: a caller that reads slowly must not be taken for a store that sends slowly. */
  readonly reader: S3Client;
  /** Opens no connection. Checksum parameters in a link would only confuse clones of S3. */
  readonly signer: S3Client;
  /** Whether the bucket has been seen: then a missing object is just that. */
  bucketSeen = false;
  readonly #prefix: string;

  constructor(bucket: string, prefix: string, settings: StorageSettings) {
    this.place = `s3://${bucket}${prefix === "" ? "" : `/${prefix}`}`;
    this.bucket = bucket;
    this.settings = settings;
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    const config = clientConfig(settings);
    const patience = { connectionTimeout: settings.connectTimeoutMs, ...agents() };
    this.client = new S3Client({ ...config, requestHandler: { ...patience, socketTimeout: settings.idleTimeoutMs } });
    this.reader = new S3Client({
      ...config,
      requestHandler: {
        ...patience,
        // ends with the first byte of the answer; guardBody watches the rest
        requestTimeout: settings.idleTimeoutMs,
        throwOnRequestTimeout: true,
        socketTimeout: 0,
      },
    });
    this.signer = new S3Client({
      ...config,
      ...endpointConfig(settings.linkEndpoint ?? settings.endpoint, settings),
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
  }

  doing(what: string, key?: string): Doing {
    return { what, place: this.place, ...(key !== undefined && { key }) };
  }

  /** Bucket and full key of an object. @throws StorageError `invalid_key` */
  at(key: string): { Bucket: string; Key: string } {
    const Key = this.#prefix + checkKey(key);
    if (Buffer.byteLength(Key) > LONGEST_KEY_BYTES) {
      throw storageError("invalid_key", this.doing("use", key), { detail: "it is too long with the prefix before it" });
    }
    return { Bucket: this.bucket, Key };
  }

  /** The full prefix of a listing. @throws StorageError `invalid_key` */
  below(prefix: string): string {
    return this.#prefix + checkPrefix(prefix);
  }

  /** Our key of a full key. */
  keyOf(fullKey: string): string {
    return fullKey.slice(this.#prefix.length);
  }

  close(): void {
    for (const client of [this.client, this.reader, this.signer]) client.destroy();
  }
}

function clientConfig(settings: StorageSettings): S3ClientConfig {
  const mode = settings.checksums === "when_required" ? "WHEN_REQUIRED" : "WHEN_SUPPORTED";
  return {
    ...endpointConfig(settings.endpoint, settings),
    ...(settings.credentials && { credentials: credentialsOf(settings.credentials) }),
    maxAttempts: settings.maxAttempts,
    requestChecksumCalculation: mode,
    responseChecksumValidation: mode,
    logger: SILENT, // packages do not log, and the SDK falls back to the console
  };
}

function endpointConfig(endpoint: string | undefined, { region, forcePathStyle }: StorageSettings): S3ClientConfig {
  const ownRegion = region ?? (endpoint === undefined ? undefined : "us-east-1");
  return {
    ...(endpoint !== undefined && { endpoint }),
    ...(ownRegion !== undefined && { region: ownRegion }),
    forcePathStyle: forcePathStyle ?? endpoint !== undefined,
  };
}

function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: NonNullable<StorageSettings["credentials"]>) {
  return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
}

function agents() {
  return { httpAgent: { maxSockets: MOST_SOCKETS }, httpsAgent: { maxSockets: MOST_SOCKETS } };
}
