import { type Attempt, JobEvent } from "@comfyq/contract";
import { namedScript, runNamed } from "./luaScript.ts";
import { readPapers } from "./papers.ts";
import { readJson } from "./readAttempt.ts";
import type { QueueRoom } from "./room.ts";

/** One entry of a job's stream. */
interface Said {
  /** On Redis's clock. */
  readonly atMs: number;
  readonly event: JobEvent;
}

/**
 * Pure: how long a worker that was killed had ComfyUI render for this attempt, as far as anybody knows: from the end of its
 * preparations to the last word of it. What ComfyUI did after that word nobody saw, and nobody is charged for.
 * @param said the newest of the job's stream
 * @param mostMs `timeout_s`: no attempt renders for longer
 */
export function gpuMsOfDead(attempt: Attempt, said: readonly Said[], mostMs: number): number {
  const { epoch, prepare_ms, render_ms, started_at, stage } = attempt;
  if (stage !== "rendering" && stage !== "storing") return 0;
  if (stage === "storing") return Math.min(render_ms ?? 0, mostMs);
  const itsOwn = said.filter(({ event: { data } }) => "attempt" in data && data.attempt === epoch);
  const lastMs = Math.max(0, ...itsOwn.map(({ atMs }) => atMs));
  const sinceMs = Date.parse(started_at) + (prepare_ms ?? 0);
  return Math.min(Math.max(0, lastMs - sinceMs), mostMs);
}

/** Once for each attempt: whoever comes later finds the mark. The day's sum is kept as NOTE_END keeps it. */
const CHARGE = namedScript(
  { keys: ["attempts", "usage"], values: ["mark", "gpuMs"] },
  `
if redis.call("HSETNX", attemptsKey, mark, gpuMs) == 0 then return 0 end
local day = math.floor(redis.call("TIME")[1] / 86400)
redis.call("HINCRBY", usageKey, "gpu_ms:" .. day, gpuMs)
redis.call("EXPIRE", usageKey, 172800)
return 1
`,
);

/** Enough to find the last word of an attempt behind what others said since. */
const LOOKED_AT = 20;

/** Charges a tenant's GPU time of the day with the attempts of a job whose workers were killed. Safe to repeat. */
export async function chargeDeaths(
  room: QueueRoom,
  job: { readonly id: string; readonly tenant: string; readonly timeoutMs: number },
  earlier: readonly Attempt[],
): Promise<void> {
  const dead = earlier.filter(({ end }) => end === null);
  if (dead.length === 0) return;
  const { redis, names } = room;
  const entries = await redis.xrevrange(names.events(job.id), "+", "-", "COUNT", LOOKED_AT);
  const said = entries.flatMap(([id, fields]): Said[] => {
    const event = JobEvent.safeParse(readJson(fields[1] ?? "")).data;
    return event ? [{ atMs: Number(id.split("-")[0]), event }] : [];
  });
  for (const attempt of dead)
    await runNamed(redis, CHARGE, {
      keys: { attempts: names.attempts(job.id), usage: names.usage(job.tenant) },
      values: { mark: `charged:${attempt.epoch}`, gpuMs: Math.round(gpuMsOfDead(attempt, said, job.timeoutMs)) },
    });
}

/** The same of a job that is read for this only. */
export async function chargeDeathsOf(room: QueueRoom, id: string): Promise<void> {
  const papers = await readPapers(room, id);
  if ("unreadable" in papers) return;
  const { tenant, head } = papers.record;
  await chargeDeaths(room, { id, tenant, timeoutMs: head.timeout_s * 1_000 }, papers.earlier);
}
