import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { nowMs } from "./clock.ts";

/** The namespace of every id that is derived from another. Frozen: changing it would break resuming old jobs. */
export const COMFYQ_NAMESPACE = "59cbb6bf-de9e-4b98-b79d-953c3965d991";

/** A new UUID v7 (RFC 9562 §5.7), lowercase: sorts by creation time, 74 random bits. */
export function newId(): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(nowMs(), 0, 6);
  return uuidText(bytes, 7);
}

/**
 * The UUID v5 (RFC 9562 §5.5, SHA-1) of a name: same name and namespace, same id, everywhere and forever.
 * @param namespace a UUID, with hyphens, in either case
 * @throws TypeError when the namespace is not a UUID
 */
export function uuidV5(name: string, namespace: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(namespace)) {
    throw new TypeError(`"${namespace}" is not a UUID; uuidV5 needs one as namespace, such as COMFYQ_NAMESPACE`);
  }
  const hash = createHash("sha1")
    .update(Buffer.from(namespace.replaceAll("-", ""), "hex"))
    .update(name, "utf8");
  return uuidText(hash.digest().subarray(0, 16), 5);
}

/** Sets version and variant bits (RFC 9562 §4) and writes the 16 bytes as text. */
function uuidText(bytes: Buffer, version: number): string {
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | (version << 4), 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * Dice for seeds: a whole number from 0 up to, not including, `below`. Not crypto.randomInt: it stops at 2^48, and seeds go up
 * to 2^53. The bias of % over 2^64 is one in 2048 at most.
 */
export function rollSeed(below: number): number {
  return Number(randomBytes(8).readBigUInt64BE() % BigInt(below));
}

/** SHA-256 as 64 lowercase hex digits; a string is hashed as UTF-8. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A new secret, `<prefix>_` and 256 random bits in base64url (43 characters). Store only its `sha256Hex`. */
export function newSecret(prefix: string): string {
  return `${prefix}_${randomBytes(32).toString("base64url")}`;
}

/** Whether two secrets are equal, in a time that depends on neither; lengths may differ. */
export function safeEqual(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text, "utf8").digest();
  return timingSafeEqual(digest(a), digest(b));
}
