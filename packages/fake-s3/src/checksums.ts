import { createHash, type Hash, timingSafeEqual } from "node:crypto";
import { crc32 } from "node:zlib";
import { crc32c } from "./crc32c.ts";

export type ChecksumAlgorithm = "CRC32" | "CRC32C" | "SHA1" | "SHA256";

/** One checksum of an object; `value` is base64, with `-<parts>` behind it when it is COMPOSITE. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  readonly value: string;
  readonly type: "FULL_OBJECT" | "COMPOSITE";
}

/** A running checksum; `finish` may be called once. */
export interface RunningChecksum {
  update(chunk: Buffer): void;
  finish(): Buffer;
}

const ALGORITHMS: readonly ChecksumAlgorithm[] = ["CRC32", "CRC32C", "SHA1", "SHA256"];

/** The algorithm called `name` (any case), or `undefined` when this server cannot compute it. */
export function findAlgorithm(name: string | undefined): ChecksumAlgorithm | undefined {
  return ALGORITHMS.find((algorithm) => algorithm === name?.toUpperCase());
}

/** The header that carries this algorithm's value, in lower case. */
export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return `x-amz-checksum-${algorithm.toLowerCase()}`;
}

export function startChecksum(algorithm: ChecksumAlgorithm): RunningChecksum {
  switch (algorithm) {
    case "CRC32":
      return rollingCrc(crc32);
    case "CRC32C":
      return rollingCrc(crc32c);
    case "SHA1":
    case "SHA256":
      return hashing(createHash(algorithm.toLowerCase()));
  }
}

/** The COMPOSITE checksum S3 computes for a multipart object: the checksum of its parts' raw checksums. */
export function compositeChecksum(algorithm: ChecksumAlgorithm, parts: readonly string[]): Checksum {
  const running = startChecksum(algorithm);
  for (const part of parts) running.update(Buffer.from(part, "base64"));
  return { algorithm, value: `${running.finish().toString("base64")}-${parts.length}`, type: "COMPOSITE" };
}

/** Compares two short strings without telling where they differ. */
export function sameText(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function rollingCrc(step: (chunk: Buffer, value: number) => number): RunningChecksum {
  let value = 0;
  return {
    update: (chunk) => {
      value = step(chunk, value);
    },
    finish: () => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value >>> 0);
      return bytes;
    },
  };
}

function hashing(hash: Hash): RunningChecksum {
  return { update: (chunk) => void hash.update(chunk), finish: () => hash.digest() };
}
