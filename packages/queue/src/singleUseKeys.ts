import { orUnavailable } from "./errors.ts";
import type { QueueRoom } from "./room.ts";

/** So long a key counts as used (Comfy API v2: "Keys expire after 24h"). */
const USED_MS = 24 * 3_600_000;

/**
 * Notes that a key of this tenant is used, which can be done once in 24 hours: of two requests at once one gets it.
 * @returns false when it was used before
 * @throws QueueError `unavailable`: it may count as used from now on
 */
export async function claimKey({ redis, names }: QueueRoom, tenant: string, key: string): Promise<boolean> {
  const set = redis.set(names.usedKey(tenant, key), "1", "PX", USED_MS, "NX");
  return (await orUnavailable("an Idempotency-Key was noted", set)) === "OK";
}

/** What the key was used for has surely not happened: it may be used again. */
export async function releaseKey({ redis, names }: QueueRoom, tenant: string, key: string): Promise<void> {
  await orUnavailable("an Idempotency-Key was given back", redis.del(names.usedKey(tenant, key)));
}
