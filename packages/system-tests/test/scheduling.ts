import { Job, Schedule, type Tick, TickPage } from "@comfyq/contract";
import { expect, vi } from "vitest";
import type { System } from "./setup.ts";

/** The schedules of a system, as a customer uses them. */
export interface Scheduling {
  /** Makes a schedule, or changes it. @throws Error with the answer when it is refused */
  put(name: string, body: object): Promise<Schedule>;
  read(name: string): Promise<Schedule>;
  /** The history, oldest moment first. */
  ticksOf(name: string): Promise<readonly Tick[]>;
  /** Waits until the history is as wanted. */
  untilTicks(name: string, isWanted: (ticks: readonly Tick[]) => boolean): Promise<readonly Tick[]>;
  /** All jobs with a tag. */
  jobsTagged(tag: string): Promise<readonly Job[]>;
  /** Puts a schedule back to where it was so long ago, as if nobody had been there since. */
  neglect(name: string, ms: number): Promise<void>;
}

export function scheduling(system: System): Scheduling {
  const headers = { "content-type": "application/json" };
  const ticksOf = async (name: string): Promise<readonly Tick[]> => {
    const ticks: Tick[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const rest = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const page = TickPage.parse(await (await system.get(`/v1/schedules/${name}/ticks?limit=100${rest}`)).json());
      ticks.push(...page.ticks);
      cursor = page.next_cursor;
    }
    return ticks.toReversed();
  };
  return {
    put: async (name, body) => {
      const request = { method: "PUT", headers, body: JSON.stringify(body) };
      const answer = await fetch(`${system.url}/v1/schedules/${name}`, request);
      const text = await answer.text();
      if (!answer.ok) throw new Error(`PUT ${name} answered ${answer.status}: ${text}`);
      return Schedule.parse(JSON.parse(text));
    },
    read: async (name) => Schedule.parse(await (await system.get(`/v1/schedules/${name}`)).json()),
    ticksOf,
    untilTicks: (name, isWanted) => {
      const look = async () => {
        const ticks = await ticksOf(name);
        expect(ticks).toSatisfy(isWanted);
        return ticks;
      };
      return vi.waitFor(look, { timeout: 60_000, interval: 100 });
    },
    jobsTagged: async (tag) => {
      const jobs: Job[] = [];
      for (let cursor: string | null = ""; cursor !== null; ) {
        const rest = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
        const answer = await system.get(`/v1/jobs?tag=${tag}&limit=100${rest}`);
        const page = (await answer.json()) as { jobs: unknown[]; next_cursor: string | null }; // as the contract says
        jobs.push(...page.jobs.map((job) => Job.parse(job)));
        cursor = page.next_cursor;
      }
      return jobs;
    },
    neglect: async (name, ms) => {
      const keys = [`comfyq:schedule:default:${name}`, "comfyq:schedules-due"];
      await system.redisCommand("EVAL", NEGLECT, "2", ...keys, String(ms), `default/${name}`);
    },
  };
}

/** A change like any other: a dispatcher that looks at it just now looks again. */
const NEGLECT = `
for _, field in ipairs({"cursor_ms", "created_at_ms"}) do
  redis.call("HSET", KEYS[1], field, string.format("%.0f", redis.call("HGET", KEYS[1], field) - ARGV[1]))
end
redis.call("HINCRBY", KEYS[1], "version", 1)
return redis.call("ZADD", KEYS[2], 0, ARGV[2])
`;

/** Those whose fate is sealed. */
export function settled(ticks: readonly Tick[]): readonly Tick[] {
  return ticks.filter(({ outcome }) => outcome !== "waiting");
}

/** Every moment between the first and the last is there, once, and so far apart. */
export function expectEachOnce(moments: readonly string[], everyMs: number): void {
  const sorted = moments.map((moment) => Date.parse(moment)).toSorted((a, b) => a - b);
  const gaps = sorted.slice(1).map((ms, at) => ms - (sorted[at] ?? 0));
  expect(gaps.filter((gap) => gap !== everyMs)).toEqual([]);
}
