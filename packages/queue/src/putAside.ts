import { whileOurs } from "./keepLock.ts";
import { setPriority } from "./lockScripts.ts";
import { putOff } from "./putOff.ts";
import { type Hold, isLockLost } from "./settle.ts";

/**
 * Puts a held job that nobody has begun aside for a while. It was the next in line, and so it shall be again: BullMQ would put
 * it behind all others of its priority, but one without a priority goes before them.
 */
export async function putAside({ room, lock, bullJob }: Hold, waitMs: number): Promise<void> {
  await lock.givingUp(() =>
    whileOurs(lock, async () => {
      if (!(await setPriority(room, lock, 0))) return false;
      try {
        await putOff(room, { bullJob, pool: lock.pool, token: lock.token }, waitMs);
        return true;
      } catch (error) {
        if (isLockLost(error)) return false;
        throw error;
      }
    }),
  );
}
