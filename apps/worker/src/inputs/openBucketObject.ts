import { storageOptions, withDeadline } from "@comfyq/runtime";
import { openStorage, StorageError } from "@comfyq/storage";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import type { CredentialWish } from "./credentials.ts";
import { explained, storeError } from "./inputError.ts";

/** An object that was asked for, its bytes on their way. */
export interface OpenedObject {
  /** Ends with a JobError when it breaks off. Read it to its end or destroy it: it holds the connection. */
  readonly body: ReturnType<typeof explained>;
  readonly contentType: string;
  readonly key: string;
}

/**
 * Opens `s3://bucket/key` for a job, over connections of its own.
 * @throws JobError `input_unavailable` | `input_unreachable` | `input_too_large`
 */
export async function openBucketObject(
  wish: CredentialWish & { readonly signal: AbortSignal },
  { config, credentials }: Pick<Tools, "config" | "credentials">,
): Promise<OpenedObject> {
  const { source, label } = wish;
  const [, bucket = "", key = ""] = /^s3:\/\/([^/]+)\/(.+)$/s.exec(source.url) ?? [];
  const access = credentials.bucketFor(wish, bucket);
  const usual = storageOptions(config);
  const store = openStorage(`s3://${bucket}`, {
    ...usual,
    credentials: access.credentials,
    region: access.region ?? usual.region,
    endpoint: access.endpoint ?? usual.endpoint,
  });
  const lateMs = config.COMFYQ_INPUT_TIMEOUT_S * 1_000;
  const signal = withDeadline(wish.signal, lateMs);
  const explain = (error: unknown): unknown => {
    if (!(error instanceof StorageError)) return error;
    if (error.code !== "aborted") return storeError({ label, shown: source.url }, error);
    if (wish.signal.aborted) return error;
    return new JobError("input_unreachable", `Input ${label}: ${source.url} did not come within ${lateMs / 1_000} s`);
  };
  try {
    const object = await store.get(key, { signal });
    const body = explained(object.body, explain).on("close", () => void store.close());
    if (object.totalBytes <= config.COMFYQ_MAX_INPUT_BYTES) return { body, contentType: object.contentType, key };
    body.destroy();
    throw new JobError(
      "input_too_large",
      `Input ${label}: ${source.url} has ${object.totalBytes} bytes, more than ${config.COMFYQ_MAX_INPUT_BYTES} (COMFYQ_MAX_INPUT_BYTES)`,
    );
  } catch (error) {
    await store.close();
    throw explain(error);
  }
}
