import { afterAll, expect, test } from "vitest";
import { timedJob } from "./lanes.ts";
import { expectEachOnce, scheduling, settled } from "./scheduling.ts";
import { setup } from "./setup.ts";
import { HOUR_MS, SHIFTED_CLOCK } from "./shiftedClock.ts";

const system = await setup({
  workers: 0,
  timeScale: 0.2,
  env: { ...SHIFTED_CLOCK, CLOCK_JUMPS_MS: `${HOUR_MS},${-HOUR_MS},0` },
});
afterAll(() => system[Symbol.asyncDispose]());
const schedules = scheduling(system);

test("a dispatcher's clock jumps an hour forth, two back, and is right again: each moment has one job, on time by Redis's clock", async () => {
  const limit = 16;
  await schedules.put("jumping", { every_s: 1, limit, catch_up: "none", job: timedJob(50, { tags: ["jumping"] }) });
  for (const seen of [3, 7, 11]) {
    await schedules.untilTicks("jumping", (ticks) => settled(ticks).length >= seen);
    process.kill(system.dispatcher.pid, "SIGUSR2");
  }
  const ticks = await schedules.untilTicks("jumping", (found) => settled(found).length === limit);
  expect(ticks.map(({ outcome }) => outcome)).toEqual(Array.from({ length: limit }, () => "job"));
  expectEachOnce(
    ticks.map(({ tick_at }) => tick_at),
    1_000,
  );
  expect(await schedules.jobsTagged("jumping")).toHaveLength(limit);
}, 90_000);

test("a clock that is an hour ahead when a cron is made fires it at the minute that Redis's clock shows", async () => {
  process.kill(system.api.pid, "SIGUSR2"); // the API's is ahead
  await schedules.put("cron", { cron: "*/2 * * * * *", limit: 3, job: timedJob(50, { tags: ["cron"] }) });
  const ticks = await schedules.untilTicks("cron", (found) => settled(found).length === 3);
  expectEachOnce(
    ticks.map(({ tick_at }) => tick_at),
    2_000,
  );
  for (const { tick_at } of ticks) expect(Math.abs(Date.parse(tick_at) - Date.now())).toBeLessThan(HOUR_MS / 2);
}, 60_000);
