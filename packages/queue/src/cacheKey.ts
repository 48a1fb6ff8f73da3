import { createHash } from "node:crypto";

/** Names a result: what was asked for (sha256 of `resultText`) and what kind of instance made it. */
export function cacheKeyOf(subject: string, fingerprint: string): string {
  return createHash("sha256").update(`${subject}\n${fingerprint}`).digest("hex");
}
