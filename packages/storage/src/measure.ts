import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

/** What a body turned out to be. */
export interface Measurements {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** base64, as S3 writes it. */
  readonly crc32: string;
}

/** Counts and hashes bytes as they pass. `finish` may be called once. */
export class Measure {
  readonly #sha256 = createHash("sha256");
  #crc32 = 0;
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  update(chunk: Uint8Array): void {
    this.#sizeBytes += chunk.length;
    this.#sha256.update(chunk);
    this.#crc32 = crc32(chunk, this.#crc32);
  }

  finish(): Measurements {
    return { sizeBytes: this.#sizeBytes, sha256: this.#sha256.digest("hex"), crc32: encodeCrc32(this.#crc32) };
  }
}

/** A CRC-32 the way S3 writes it: its four bytes, big end first, in base64. */
export function encodeCrc32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes.toString("base64");
}
