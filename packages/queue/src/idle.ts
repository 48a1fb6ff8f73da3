import { namedScript, runNamed } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

/** A stretch of time in which a tenant had jobs in a pool, that is over. */
export interface BusyPeriod {
  /** From 1. */
  readonly number: number;
  readonly endedAtMs: number;
}

/**
 * Takes a job out of those that have not ended. The one that leaves none behind ends the period, and keeps saying so until
 * `forgetIdle`: so the end of a period is told although its dispatcher dies, and although others have begun the next by then.
 */
const LEAVE = namedScript(
  { keys: ["busy", "idle"], values: ["id"] },
  `
local call = redis.call
local due = call("HGET", idleKey, id)
if due then return due end
if call("SREM", busyKey, id) == 0 or call("SCARD", busyKey) > 0 then return "" end
local t = call("TIME")
due = call("HINCRBY", idleKey, "periods", 1) .. " " .. string.format("%.0f", t[1] * 1000 + math.floor(t[2] / 1000))
call("HSET", idleKey, id, due)
return due
`,
);

interface EndedJob {
  readonly tenant: string;
  readonly pool: string;
  readonly jobId: string;
}

/** @returns the period that ended with this job, also when asked again; undefined when others have not ended */
export async function leaveBusy({ redis, names }: QueueRoom, job: EndedJob): Promise<BusyPeriod | undefined> {
  const keys = { busy: names.busy(job.tenant, job.pool), idle: names.idle(job.tenant, job.pool) };
  const due = String(await runNamed(redis, LEAVE, { keys, values: { id: job.jobId } }));
  const [number, endedAtMs] = due.split(" ");
  return number ? { number: Number(number), endedAtMs: Number(endedAtMs) } : undefined;
}

/** Its end was told. */
export async function forgetIdle({ redis, names }: QueueRoom, { tenant, pool, jobId }: EndedJob): Promise<void> {
  await redis.hdel(names.idle(tenant, pool), jobId);
}
