import { longestFirstScript, runLongestFirst } from "./ageing.ts";
import type { QueueRoom } from "./room.ts";

/**
 * The right end of `wait` is what BullMQ claims next: what was given back stands there, and what is put there here. Of a job that
 * stands there too short a time, the one that has waited longest is put before it.
 */
const LET_OVERFLOW = longestFirstScript(`
local patience = tonumber(patienceMs)
local first = redis.call("LRANGE", waitKey, -1, -1)[1]
local waited = first and now - waitsSince(first)
if waited and waited >= patience then return 0 end
local found, since = findLongest(now)
if not found then return waited and patience - waited or -1 end
if now - since < patience then return patience - math.max(now - since, waited or 0) end
putFirst(found)
return 0
`);

/**
 * Before the claim of a worker that only takes what the others have left waiting: makes the job that has waited longest the next,
 * when it has waited for `patienceMs` (counted from when it was submitted, or from `run_at`).
 * @returns how long until one has, in ms; 0 when one has now; undefined when none waits
 */
export async function letOverflow(room: QueueRoom, pool: string, patienceMs: number): Promise<number | undefined> {
  const left = await runLongestFirst(room, LET_OVERFLOW, { pool, patienceMs });
  return Number(left) < 0 ? undefined : Number(left);
}
