import { canonicalJson } from "@comfyq/contract";
import type { KeptBody } from "@comfyq/queue";
import { sha256Hex } from "@comfyq/runtime";

/**
 * What tells a repeated body from another one under the same Idempotency-Key. A client that repeats itself sends the same
 * bytes, so their hash is nearly always enough. Whether two texts are one body in another order is asked only when the bytes
 * differ: canonical JSON costs a submission more than all of its checks.
 */
export interface Fingerprint {
  /** Of the bytes; of a body with secrets, the canonical one. */
  readonly bodySha256: string;
  /** The same for every order of the keys. */
  readonly canonicalSha256: () => string;
}

/** @param body without secrets; what tells them from others may stand in their place */
export function fingerprintOf(body: unknown, bytes: Buffer | undefined): Fingerprint {
  const canonicalSha256 = () => sha256Hex(canonicalJson(body));
  return { bodySha256: bytes === undefined ? canonicalSha256() : sha256Hex(bytes), canonicalSha256 };
}

/** Is it the body that was kept, written in another order? */
export function isSameBody({ canonicalSha256 }: Fingerprint, kept: KeptBody): boolean {
  const asked = canonicalSha256();
  if (asked === kept.bodySha256) return true; // kept by an earlier version, or one with secrets
  return asked === (kept.canonicalSha256 ?? sha256Hex(canonicalJson(JSON.parse(kept.request))));
}
