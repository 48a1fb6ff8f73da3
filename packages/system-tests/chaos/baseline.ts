import { readdir } from "node:fs/promises";
import * as z from "zod";
import { askRedis } from "./faults/redis.ts";
import type { Fleet, Station } from "./fleet.ts";

/** Something that must have returned to nothing, or to what is allowed for it. */
interface Baseline {
  readonly what: string;
  readonly found: number;
  readonly allowed: number;
}

/** The last things (a heartbeat, a sweep, forgetting) may come this long after the last job has ended. */
const PATIENCE_MS = 10_000;
const LOOK_EVERY_MS = 200;
/** Keys of BullMQ's queues, lists and schedules, whatever the number of jobs. */
const FIXED_KEYS = 120;
/** Record, journal, events, BullJob, settlement, delivery and its log, places in lists. */
const KEYS_PER_JOB = 10;

/** Somebody who had to be asked was just being started again. */
const NOT_NOW: readonly Baseline[] = [{ what: "processes that could not be asked", found: 1, allowed: 0 }];

/** Counts what is left over, until all is as it should be or 10 s are over, and notes the last count. */
export async function noteBaselines(fleet: Fleet, jobsEver: number): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await measure(fleet, jobsEver).catch(() => NOT_NOW);
    const isQuiet = found.every((each) => each.found <= each.allowed);
    if (isQuiet || performance.now() > untilMs) {
      for (const each of found) fleet.history.note("harness", { op: "baseline", ...each });
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

async function measure(fleet: Fleet, jobsEver: number): Promise<readonly Baseline[]> {
  const none = (what: string, found: number): Baseline => ({ what, found, allowed: 0 });
  const [spooled, queued, remembered, redis] = await Promise.all([
    readdir(fleet.spoolDir),
    sumOverStations(fleet, countQueued),
    sumOverStations(fleet, countRemembered),
    countInRedis(fleet),
  ]);
  return [
    none("temporary files", spooled.length),
    none("half uploads", fleet.s3.stats().openUploads),
    none("prompts of ours in ComfyUI's queues", queued),
    none("prompts of ours in ComfyUI's histories", remembered),
    none("locks of jobs", redis.locks),
    none("jobs that BullMQ calls active", redis.active),
    none("withdrawals cut in half", redis.withdrawn),
    none("settlements under way", redis.settlements),
    none("deliveries under way", redis.deliveries),
    { what: "keys in Redis", found: redis.keys, allowed: FIXED_KEYS + KEYS_PER_JOB * jobsEver },
  ];
}

async function sumOverStations({ stations }: Fleet, count: (station: Station) => Promise<number>): Promise<number> {
  const counts = await Promise.all(stations.map(count));
  return counts.reduce((sum, each) => sum + each, 0);
}

/** Prompts carry their job in the extra data: `[number, id, graph, {comfyq: …}, outputs]`. */
function isOurs(item: unknown): boolean {
  return Array.isArray(item) && JSON.stringify(item[3] ?? {}).includes('"comfyq"');
}

/** Nobody but us has anything at a cloud, whose queue does not show what came with a prompt. */
async function countQueued({ simulatorUrl: url, cloudKey }: Station): Promise<number> {
  const answer = await (cloudKey === undefined
    ? fetch(`${url}/queue`)
    : fetch(`${url}/api/queue`, { headers: { "x-api-key": cloudKey } }));
  const items = Object.values(z.record(z.string(), z.array(z.unknown())).parse(await answer.json())).flat();
  return items.filter((item) => cloudKey !== undefined || isOurs(item)).length;
}

/** What a dead worker's prompt left in the history of a cloud stays: it may be another installation's. */
async function countRemembered({ simulatorUrl: url, cloudKey }: Station): Promise<number> {
  if (cloudKey !== undefined) return 0;
  const Entries = z.record(z.string(), z.object({ prompt: z.unknown() }));
  const answer = Entries.parse(await (await fetch(`${url}/history`)).json());
  return Object.values(answer).filter(({ prompt }) => isOurs(prompt)).length;
}

/** One script, so that the counts belong together. Names as in queue/names.ts with the default prefix. */
const COUNT = `
local under = "comfyq:"
local function length(key) return redis.call("LLEN", under .. key) end
local function size(key) return redis.call("ZCARD", under .. key) end
return {
  #redis.call("KEYS", under .. "jobs-*:lock"),
  length("jobs-default:active"),
  redis.call("SCARD", under .. "withdrawn"),
  length("settlements:wait") + length("settlements:active") + size("settlements:delayed") + size("settlements:prioritized"),
  length("deliveries:wait") + length("deliveries:active") + size("deliveries:delayed"),
  redis.call("DBSIZE")
}`;

async function countInRedis(fleet: Fleet) {
  const lines = (await askRedis(fleet, "EVAL", COUNT, "0")).split("\n");
  const [locks = 0, active = 0, withdrawn = 0, settlements = 0, deliveries = 0, keys = 0] = lines.map((line) =>
    Number(/\d+$/.exec(line.trim())?.[0] ?? 0),
  );
  return { locks, active, withdrawn, settlements, deliveries, keys };
}
