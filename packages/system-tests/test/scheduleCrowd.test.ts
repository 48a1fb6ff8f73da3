import { SCHEDULE_LIMITS } from "@comfyq/contract";
import { afterAll, expect, test, vi } from "vitest";
import { timedJob } from "./lanes.ts";
import { scheduling } from "./scheduling.ts";
import { setup } from "./setup.ts";

const system = await setup({ workers: 0 });
afterAll(() => system[Symbol.asyncDispose]());
const schedules = scheduling(system);

test("a thousand schedules of one tenant fire in the same second: each makes its job; one more is refused", async () => {
  const at = new Date(Date.now() + 60_000);
  const cron = `${at.getUTCSeconds()} ${at.getUTCMinutes()} ${at.getUTCHours()} * * *`;
  const job = timedJob(50, { tags: ["crowd"] });
  const names = Array.from({ length: SCHEDULE_LIMITS.count }, (_, n) => `crowd-${n}`);
  for (let n = 0; n < names.length; n += 20)
    await Promise.all(names.slice(n, n + 20).map((name) => schedules.put(name, { cron, job })));
  await expect(schedules.put("one-more", { cron, job })).rejects.toThrow("answered 409");
  const health = String(system.dispatcher.ready["health"]);
  const measured = async () => (await fetch(`${health}/metrics`)).text();
  const made = async () =>
    expect(await measured()).toContain(`comfyq_schedule_ticks_total{outcome="job"} ${names.length}`);
  await vi.waitFor(made, { timeout: 120_000, interval: 500 });
  const jobs = await schedules.jobsTagged("crowd");
  expect(new Set(jobs.map(({ schedule }) => schedule?.name)).size).toBe(names.length);
  expect(jobs).toHaveLength(names.length);
  expect(await measured()).toContain(`comfyq_schedule_lag_seconds_count ${names.length}`);
}, 240_000);
