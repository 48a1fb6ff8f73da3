import { isTerminal, type JobFacts } from "@comfyq/contract";
import { nowMs } from "./clock.ts";
import { IS_OVER } from "./isOver.ts";
import { namedScript, runNamed } from "./luaScript.ts";
import type { PromptNotice } from "./promptNotices.ts";
import { readJob } from "./readJob.ts";
import { readRecord } from "./record.ts";
import type { QueueRoom } from "./room.ts";

/** As many as ComfyUI's history keeps. */
const ENDED_KEPT = 10_000;

/**
 * How a script takes a job out of the open ones: whoever does so notes its end, so that one which was hidden since does not come
 * back, and tells the tenant's websockets. Needs what `leavingOpen` gives.
 */
export const LEAVE_OPEN = `
local function leaveOpen()
  if redis.call("ZREM", openKey, id) == 0 then return end
  if shownAtMs ~= "" then
    redis.call("ZADD", endedKey, shownAtMs, id)
    redis.call("ZREMRANGEBYRANK", endedKey, 0, -endedKept - 1)
  end
  redis.call("PUBLISH", notices, redis.call("ZCARD", openKey) .. " " .. notice)
end
`;

const LEAVE = namedScript(
  { keys: ["open", "ended"], values: ["id", "shownAtMs", "endedKept", "notices", "notice"] },
  `${LEAVE_OPEN}leaveOpen()`,
);

interface EndedJob {
  readonly tenant: string;
  readonly jobId: string;
  /** One that was canceled while it waited is in no history, as ComfyUI has it. */
  readonly isShown: boolean;
}

/** What `LEAVE_OPEN` needs. */
export function leavingOpen({ names }: QueueRoom, { tenant, jobId, isShown }: EndedJob) {
  const notice: PromptNotice = { kind: "ended", jobId };
  return {
    keys: { open: names.open(tenant), ended: names.ended(tenant) },
    values: {
      id: jobId,
      shownAtMs: isShown ? nowMs() : "",
      endedKept: ENDED_KEPT,
      notices: names.prompts(tenant),
      notice: JSON.stringify(notice),
    },
  };
}

/** Notes that a job has ended, and tells the tenant's websockets. Safe to repeat. */
export async function leaveOpen(room: QueueRoom, job: EndedJob): Promise<void> {
  await runNamed(room.redis, LEAVE, leavingOpen(room, job));
}

/** The end of a job is noted after it has ended, and the note may be lost: whoever looks mends that. */
async function mend(room: QueueRoom, tenant: string, jobId: string): Promise<JobFacts | undefined> {
  const job = await readJob(room, tenant, jobId);
  if (job && !isTerminal(job.status)) return job;
  await leaveOpen(room, {
    tenant,
    jobId,
    isShown: job !== undefined && (job.status !== "canceled" || job.attempts > 0),
  });
  return undefined;
}

/** Looks at some of a tenant's open jobs. @returns where to go on, and which of them have ended: whoever ended it died before it said so */
const FIND_ENDED = namedScript(
  { keys: ["open"], values: ["cursor", "count", "recordPrefix", "queuePrefix"] },
  `${IS_OVER}
local page = redis.call("ZSCAN", openKey, cursor, "COUNT", count)
local found = { page[1] }
for at = 1, #page[2], 2 do
  local id = page[2][at]
  local pool = redis.call("HGET", recordPrefix .. id, "pool")
  if not pool or isOver(queuePrefix .. pool .. ":" .. id) then found[#found + 1] = id end
end
return found
`,
);

/** Sets right what counts as open, for every tenant. */
export async function reconcileOpen(room: QueueRoom): Promise<void> {
  const { redis, names, settings } = room;
  const values = {
    count: settings.sweepBatch,
    recordPrefix: names.record(""),
    queuePrefix: names.bull(names.jobsQueue(""), "").slice(0, -1),
  };
  for (const tenant of await redis.smembers(names.tenants)) {
    let cursor = "0";
    do {
      const answer = await runNamed(redis, FIND_ENDED, {
        keys: { open: names.open(tenant) },
        values: { ...values, cursor },
      });
      const [next = "0", ...ended] = Array.isArray(answer) ? answer.map(String) : [];
      for (const jobId of ended) await mend(room, tenant, jobId);
      cursor = next;
    } while (cursor !== "0");
  }
}

/** A tenant's jobs that have not ended, oldest first, at most so many. */
export async function openJobs(room: QueueRoom, tenant: string, limit: number): Promise<readonly JobFacts[]> {
  const ids = await room.redis.zrange(room.names.open(tenant), "0", String(limit - 1));
  const jobs = await Promise.all(ids.map((id) => mend(room, tenant, id)));
  return jobs.filter((job) => job !== undefined);
}

/** The same of one client of ComfyUI's own API, or of prompts that name none (null); of the first `limit` open jobs. */
export async function openPromptsOf(
  room: QueueRoom,
  tenant: string,
  { clientId, limit }: { readonly clientId: string | null; readonly limit: number },
): Promise<readonly JobFacts[]> {
  const ids = await room.redis.zrange(room.names.open(tenant), "0", String(limit - 1));
  const heads = await Promise.all(ids.map((id) => readRecord(room.redis, room.names, id)));
  const theirs = ids.filter((_, at) => heads[at]?.head.prompt?.client_id === clientId);
  const jobs = await Promise.all(theirs.map((id) => mend(room, tenant, id)));
  return jobs.filter((job) => job !== undefined);
}

export async function countOpen({ redis, names }: QueueRoom, tenant: string): Promise<number> {
  return redis.zcard(names.open(tenant));
}

/** Is the job in the tenant's history? */
export async function isInHistory(room: QueueRoom, tenant: string, jobId: string): Promise<boolean> {
  const { redis, names } = room;
  const inHistory = async () => (await redis.zscore(names.ended(tenant), jobId)) !== null;
  if (await inHistory()) return true;
  if ((await redis.zscore(names.open(tenant), jobId)) === null) return false;
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
