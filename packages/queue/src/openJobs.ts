import { isTerminal, type JobFacts } from "@comfyq/contract";
import { nowMs } from "./clock.ts";
import { luaScript, runScript } from "./luaScript.ts";
import type { PromptNotice } from "./promptNotices.ts";
import { readJob } from "./readJob.ts";
import { readRecord } from "./record.ts";
import type { QueueRoom } from "./room.ts";

/** As many as ComfyUI's history keeps. */
const ENDED_KEPT = 10_000;

/** Whoever takes it out of the open ones notes its end, so that one which was hidden since does not come back. */
const END = luaScript(`
if redis.call("ZREM", KEYS[1], ARGV[1]) == 0 then return 0 end
if ARGV[2] ~= "" then
  redis.call("ZADD", KEYS[2], ARGV[2], ARGV[1])
  redis.call("ZREMRANGEBYRANK", KEYS[2], 0, -ARGV[3] - 1)
end
redis.call("PUBLISH", ARGV[4], redis.call("ZCARD", KEYS[1]) .. " " .. ARGV[5])
return 1
`);

interface EndedJob {
  readonly tenant: string;
  readonly jobId: string;
  /** One that was canceled while it waited is in no history, as ComfyUI has it. */
  readonly isShown: boolean;
}

/** Notes that a job has ended, and tells the tenant's websockets. Safe to repeat. */
export async function noteEnded({ redis, names }: QueueRoom, { tenant, jobId, isShown }: EndedJob): Promise<void> {
  const notice: PromptNotice = { kind: "ended", jobId };
  const values = [jobId, isShown ? nowMs() : "", ENDED_KEPT, names.prompts(tenant), JSON.stringify(notice)];
  await runScript(redis, END, [names.openOrder(tenant), names.ended(tenant)], values);
}

/** The end of a job is noted after it has ended, and the note may be lost: whoever looks mends that. */
async function mend(room: QueueRoom, tenant: string, jobId: string): Promise<JobFacts | undefined> {
  const job = await readJob(room, tenant, jobId);
  if (job && !isTerminal(job.status)) return job;
  await noteEnded(room, {
    tenant,
    jobId,
    isShown: job !== undefined && (job.status !== "canceled" || job.attempts > 0),
  });
  return undefined;
}

/** A tenant's jobs that have not ended, oldest first, at most so many. */
export async function openJobs(room: QueueRoom, tenant: string, limit: number): Promise<readonly JobFacts[]> {
  const ids = await room.redis.zrange(room.names.openOrder(tenant), "0", String(limit - 1));
  const jobs = await Promise.all(ids.map((id) => mend(room, tenant, id)));
  return jobs.filter((job) => job !== undefined);
}

/** The same of one client of ComfyUI's own API; of the first `limit` open jobs. */
export async function openPromptsOf(
  room: QueueRoom,
  tenant: string,
  { clientId, limit }: { readonly clientId: string; readonly limit: number },
): Promise<readonly JobFacts[]> {
  const ids = await room.redis.zrange(room.names.openOrder(tenant), "0", String(limit - 1));
  const heads = await Promise.all(ids.map((id) => readRecord(room.redis, room.names, id)));
  const theirs = ids.filter((_, at) => heads[at]?.head.prompt?.client_id === clientId);
  const jobs = await Promise.all(theirs.map((id) => mend(room, tenant, id)));
  return jobs.filter((job) => job !== undefined);
}

export async function countOpen({ redis, names }: QueueRoom, tenant: string): Promise<number> {
  return redis.zcard(names.openOrder(tenant));
}

/** Is the job in the tenant's history? */
export async function isInHistory(room: QueueRoom, tenant: string, jobId: string): Promise<boolean> {
  const { redis, names } = room;
  const inHistory = async () => (await redis.zscore(names.ended(tenant), jobId)) !== null;
  if (await inHistory()) return true;
  if ((await redis.zscore(names.openOrder(tenant), jobId)) === null) return false;
  await mend(room, tenant, jobId);
  return inHistory();
}

/** Which part of a history is wanted. */
export interface HistoryPage {
  /** Undefined: all. */
  readonly maxItems: number | undefined;
  /** From the oldest; undefined: the newest ones. */
  readonly offset: number | undefined;
}

/** Ids of a tenant's ended jobs in the order of their ends. */
export async function endedJobs(
  { redis, names }: QueueRoom,
  tenant: string,
  { maxItems = ENDED_KEPT, offset }: HistoryPage,
): Promise<readonly string[]> {
  if (maxItems <= 0) return [];
  return offset === undefined
    ? redis.zrange(names.ended(tenant), String(-maxItems), "-1")
    : redis.zrange(names.ended(tenant), String(offset), String(offset + maxItems - 1));
}

/** Takes jobs out of a tenant's history: they are there, and are not shown there any more. */
export async function hideJobs(
  { redis, names }: QueueRoom,
  tenant: string,
  which: readonly string[] | "all",
): Promise<void> {
  if (which === "all") await redis.del(names.ended(tenant));
  else if (which.length > 0) await redis.zrem(names.ended(tenant), ...which);
}
