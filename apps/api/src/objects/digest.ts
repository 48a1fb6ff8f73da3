import { createHash } from "node:crypto";
import { createBLAKE3 } from "hash-wasm";

/** Both hashes of some bytes, in hex. sha256 names an asset; blake3 is how Comfy API v2 asks for it. */
export interface Digests {
  readonly sha256: string;
  readonly blake3: string;
}

/** Hashes what comes, piece by piece: each piece takes well below a millisecond, and others get their turn in between. */
export async function createDigest(): Promise<{ update(piece: Uint8Array): void; end(): Digests }> {
  const sha256 = createHash("sha256");
  const blake3 = (await createBLAKE3()).init();
  return {
    update: (piece) => {
      sha256.update(piece);
      blake3.update(piece);
    },
    end: () => ({ sha256: sha256.digest("hex"), blake3: blake3.digest("hex") }),
  };
}

const SLICE_BYTES = 262_144;

/** Both hashes of bytes that are in memory; others get their turn between its slices. */
export async function digestOf(bytes: Uint8Array): Promise<Digests> {
  const digest = await createDigest();
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    digest.update(bytes.subarray(at, at + SLICE_BYTES));
    await new Promise((resolve) => setImmediate(resolve));
  }
  return digest.end();
}
