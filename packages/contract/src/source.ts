import * as z from "zod";

const SourceUrl = z
  .string()
  .max(8_000_000)
  .regex(/^(https?:\/\/|s3:\/\/|data:|asset:)/, "must start with http://, https://, s3://, data: or asset:")
  .meta({ description: "http(s) URL, s3://bucket/key, data: URI or asset:<id>" });

/** Name of a credential: one of the request's `secrets`, or one that the operator gave the workers. */
export const SecretName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/, "must be 1-64 of A-Z a-z 0-9 _ . - and start with a letter");

/** sha256 in hex, in one spelling. */
const Sha256 = z
  .string()
  .regex(/^(?:sha256:)?[0-9a-f]{64}$/i, "must be 64 hex digits")
  .transform((text) => text.toLowerCase().replace("sha256:", ""));

/**
 * Where an input's bytes come from, fetched by the worker and never before the answer. A customer writes an address, or an
 * object when it takes more; from here on it is always the object.
 */
export const InputSource = z
  .union([
    SourceUrl,
    z.strictObject({
      url: SourceUrl,
      credential: SecretName.optional().meta({
        description: "One of this job's `secrets`, or a credential that the operator gave the workers by this name",
      }),
      sha256: Sha256.optional().meta({ description: "The bytes must have this hash (hex)" }),
    }),
  ])
  .transform((source): InputSource => (typeof source === "string" ? { url: source } : source));

/** A source in its one form. */
export interface InputSource {
  readonly url: string;
  readonly credential?: string | undefined;
  readonly sha256?: string | undefined;
}

/** Most assets are named by their ids: `asset:<id>`. @returns undefined for every other kind of source */
export function assetIdOf({ url }: InputSource): string | undefined {
  return url.startsWith("asset:") ? url.slice("asset:".length) : undefined;
}

/** The ids of the assets that a job names, each once. */
export function assetIdsOf(job: Readonly<Record<"inputs" | "files", Readonly<Record<string, InputSource>>>>): string[] {
  const sources = [...Object.values(job.inputs), ...Object.values(job.files)];
  return [...new Set(sources.flatMap((source) => assetIdOf(source) ?? []))];
}
