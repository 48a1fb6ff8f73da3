import type { QueueRoom } from "./room.ts";

/** Takes the ComfyUI for this holder, or keeps it; else says whose it is. The oldest holder wins, for a holder of one reply. */
const HOLD = `
local token = redis.call("HGET", KEYS[1], "token")
if token and token ~= ARGV[1] then return redis.call("HGET", KEYS[1], "holder") end
if not token then redis.call("HSET", KEYS[1], "token", ARGV[1], "holder", ARGV[2]) end
redis.call("PEXPIRE", KEYS[1], ARGV[3])
return ""
`;

const RELEASE = `
if redis.call("HGET", KEYS[1], "token") == ARGV[1] then return redis.call("DEL", KEYS[1]) end
return 0
`;

export interface InstanceClaim {
  /** What ComfyUI it is, the same for everybody who drives it. */
  readonly key: string;
  /** Who asks: unlike for every process. */
  readonly token: string;
  /** Who asks, in words for whoever comes second. */
  readonly holder: string;
}

/**
 * Makes this process the only one that drives a ComfyUI, for `instanceLeaseMs` from now; call it again to stay it.
 * @returns undefined when it is ours; else the `holder` of who has it
 */
export async function holdInstance(
  room: QueueRoom,
  { key, token, holder }: InstanceClaim,
): Promise<string | undefined> {
  const leaseMs = Math.round(room.settings.instanceLeaseMs);
  const other = await room.redis.eval(HOLD, 1, room.names.instance(key), token, holder, leaseMs);
  return other === "" ? undefined : String(other);
}

/** Lets go of a ComfyUI at once; does nothing when it is another's. */
export async function releaseInstance(room: QueueRoom, { key, token }: Omit<InstanceClaim, "holder">): Promise<void> {
  await room.redis.eval(RELEASE, 1, room.names.instance(key), token);
}
