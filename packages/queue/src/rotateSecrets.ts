import type { SealedSecret } from "./endpointFacts.ts";
import { MOST_OLD_SECRETS, tooManySecrets } from "./jobSigning.ts";

interface Rotation {
  /** The new one, encrypted. */
  readonly sealed: string;
  readonly nowMs: number;
  /** For how long those before go on signing at most; 0: not at all. */
  readonly overlapMs: number;
}

/**
 * The secrets of an endpoint after one more was made, newest first.
 * @throws QueueError `conflict` when too many sign already
 */
export function rotateSecrets(
  secrets: readonly SealedSecret[],
  { sealed, nowMs, overlapMs }: Rotation,
): readonly SealedSecret[] {
  const endMs = nowMs + overlapMs;
  const old = secrets
    .map((secret) => ({ ...secret, untilMs: Math.min(secret.untilMs ?? endMs, endMs) }))
    .filter(({ untilMs }) => untilMs > nowMs);
  if (old.length > MOST_OLD_SECRETS) throw tooManySecrets();
  return [{ sealed, untilMs: null }, ...old];
}
