import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { nowMs } from "./clock.ts";

/** A new UUID v7 (RFC 9562 §5.7), lowercase: sorts by creation time, 74 random bits. */
export function newId(): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(nowMs(), 0, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6); // version and variant, RFC 9562 §4
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
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
