import type { NewJobBody, Tick } from "@comfyq/contract";
import { afterAll, expect, test, vi } from "vitest";
import { timedJob } from "./lanes.ts";
import { scheduling, settled } from "./scheduling.ts";
import { isFinished, setup } from "./setup.ts";

// A moment is missed after 12 s, a tick that waits is looked at every 0.4 s.
const system = await setup({ workers: 4, timeScale: 0.2 });
afterAll(() => system[Symbol.asyncDispose]());
const schedules = scheduling(system);

/** A job that renders for so long. */
const job = (ms: number, more: Partial<NewJobBody> = {}) => timedJob(ms, more);
const outcomes = (ticks: readonly Tick[]) => ticks.map(({ outcome }) => outcome);

test.concurrent("each moment makes one job, until the limit: filled in from its tick and named in the history", async () => {
  const body = { every_s: 1, limit: 3, job: job(50, { metadata: { n: "{{tick.count}}", day: "{{tick.date}}" } }) };
  const made = await schedules.put("three-times", body);
  expect(made).toMatchObject({ state: "active", fired: 0, time_zone: "UTC" });
  expect(made.next_at).toHaveLength(3);
  const ticks = await schedules.untilTicks("three-times", (found) => settled(found).length === 3);
  expect(outcomes(ticks)).toEqual(["job", "job", "job"]);
  const jobs = await Promise.all(ticks.map(({ job_id }) => system.until(String(job_id), isFinished)));
  expect(jobs.map(({ status, metadata }) => [status, metadata["n"]])).toEqual([1, 2, 3].map((n) => ["succeeded", n]));
  for (const [at, { schedule, metadata }] of jobs.entries()) {
    expect(schedule).toEqual({ name: "three-times", tick_at: ticks[at]?.tick_at });
    expect(metadata["day"]).toBe(ticks[at]?.tick_at.slice(0, 10));
  }
  const over = { state: "over", fired: 3, open_jobs: [], next_at: [] };
  await vi.waitFor(async () => expect(await schedules.read("three-times")).toMatchObject(over), 10_000);
}, 60_000);

test.concurrent("overlap skip: while a job runs no other is made, and the history says which was in the way", async () => {
  await schedules.put("skipping", { every_s: 1, limit: 2, overlap: "skip", job: job(2_500) });
  const ticks = await schedules.untilTicks(
    "skipping",
    (found) => outcomes(found).filter((one) => one === "job").length === 2,
  );
  const [first, ...rest] = ticks;
  expect(first).toMatchObject({ outcome: "job" });
  const skipped = rest.filter(({ outcome }) => outcome === "skipped");
  expect(skipped.length).toBeGreaterThan(0);
  for (const { job_id, reason } of skipped)
    expect([job_id, reason]).toEqual([null, `Job ${first?.job_id} of this schedule had not ended`]);
  const [one, two] = await Promise.all(
    [first, ticks.findLast(({ outcome }) => outcome === "job")].map((tick) =>
      system.until(String(tick?.job_id), isFinished),
    ),
  );
  expect(Date.parse(String(two?.created_at))).toBeGreaterThanOrEqual(Date.parse(String(one?.completed_at)));
}, 60_000);

test.concurrent("overlap queue_one: one tick waits for the end of the job, the others are skipped, and then it is made", async () => {
  await schedules.put("queueing", { every_s: 1, limit: 3, overlap: "queue_one", job: job(3_500) });
  const made = (ticks: readonly Tick[]) => ticks.filter(({ outcome }) => outcome === "job");
  const ticks = await schedules.untilTicks("queueing", (found) => made(found).length >= 2);
  expect(outcomes(ticks).slice(0, 3)).toEqual(["job", "job", "skipped"]);
  expect(ticks[2]?.reason).toBe(
    `Job ${ticks[0]?.job_id} of this schedule had not ended, and another tick waits for that already`,
  );
  const [first, second] = await Promise.all(
    ticks.slice(0, 2).map(({ job_id }) => system.until(String(job_id), isFinished)),
  );
  expect(Date.parse(String(second?.created_at))).toBeGreaterThanOrEqual(Date.parse(String(first?.completed_at)));
  expect(second?.schedule?.tick_at).toBe(ticks[1]?.tick_at);
}, 60_000);

test.concurrent("overlap cancel_previous: the running job is canceled, and the history names it", async () => {
  await schedules.put("replacing", { every_s: 2, limit: 2, overlap: "cancel_previous", job: job(60_000) });
  const ticks = await schedules.untilTicks("replacing", (found) => settled(found).length === 2);
  const [first, second] = ticks;
  expect(second).toMatchObject({ outcome: "job", canceled: [first?.job_id] });
  expect(await system.until(String(first?.job_id), isFinished)).toMatchObject({ status: "canceled" });
  await system.post(`/v1/jobs/${second?.job_id}/cancel`);
}, 60_000);

test.concurrent("deleted while its job runs, it makes no more, and the job goes on to its end", async () => {
  await schedules.put("deleted", { every_s: 1, job: job(1_500, { tags: ["deleted"] }) });
  const [tick] = await schedules.untilTicks("deleted", (found) => settled(found).length > 0);
  await fetch(`${system.url}/v1/schedules/deleted`, { method: "DELETE" });
  expect((await system.get("/v1/schedules/deleted/ticks")).status).toBe(404);
  expect(await system.until(String(tick?.job_id), isFinished)).toMatchObject({ status: "succeeded" });
  const count = (await schedules.jobsTagged("deleted")).length;
  await schedules.put("after-deleted", { every_s: 1, limit: 2, job: job(50) });
  await schedules.untilTicks("after-deleted", (found) => settled(found).length === 2);
  expect(await schedules.jobsTagged("deleted")).toHaveLength(count);
}, 60_000);

test.concurrent("jitter puts each job off by its own time, the same whoever asks, and never before its moment", async () => {
  await schedules.put("jittery", { every_s: 1, limit: 4, jitter_s: 3_600, job: job(50) });
  const ticks = await schedules.untilTicks("jittery", (found) => settled(found).length === 4);
  const jobs = await Promise.all(ticks.map(({ job_id }) => system.read(String(job_id))));
  const delaysMs = jobs.map(({ run_at }, at) => Date.parse(String(run_at)) - Date.parse(String(ticks[at]?.tick_at)));
  expect(new Set(delaysMs).size).toBeGreaterThan(1);
  for (const delayMs of delaysMs) expect(delayMs >= 0 && delayMs <= 3_600_000).toBe(true);
}, 60_000);

test.concurrent("a template that makes no job any more fails tick after tick, visibly, and harms nobody", async () => {
  await schedules.put("failing", { every_s: 1, limit: 3, job: job(50) });
  const template = { ...job(50), priority: "soon" }; // as an older version might have kept it
  await system.redisCommand("HSET", "comfyq:schedule:default:failing", "template", JSON.stringify(template));
  const ticks = await schedules.untilTicks("failing", (found) => settled(found).length === 3);
  expect(outcomes(ticks)).toEqual(["failed", "failed", "failed"]);
  expect(ticks[0]).toMatchObject({ job_id: null, reason: expect.stringContaining("job.priority") });
  expect(await schedules.read("failing")).toMatchObject({ consecutive_failures: 3, state: "over" });
}, 60_000);

test.concurrent("what passed while nobody was there is missed, told once, and made up for as the policy says", async () => {
  const missed = (name: string) =>
    system.sink.all().filter(({ event: { data } }) => "schedule" in data && data.schedule === name);
  const webhook = { url: system.sink.url };
  for (const [catch_up, made] of [
    ["none", 0],
    ["last", 1],
    ["all", 5],
  ] as const) {
    const name = `neglected-${catch_up}`;
    const rule = { every_s: 60, catch_up, catch_up_max: 5, webhook };
    await schedules.put(name, { ...rule, job: job(50) });
    await schedules.neglect(name, 630_000);
    const ticks = await schedules.untilTicks(name, (found) => settled(found).length === made + 1);
    expect([catch_up, outcomes(ticks)]).toEqual([catch_up, ["missed", ...Array.from({ length: made }, () => "job")]]);
    expect(ticks[0]).toMatchObject({ count: 10 - made, reason: expect.stringContaining(`catch_up is ${catch_up}`) });
    await vi.waitFor(() => expect(missed(name)).toHaveLength(1), 20_000);
    const data = { schedule: name, tick_at: ticks[0]?.tick_at, count: 10 - made };
    expect(missed(name)).toMatchObject([{ isGenuine: true, event: { type: "schedule.missed", data } }]);
  }
}, 90_000);

test.concurrent("beyond the cap of its pool a tick waits, says so, and makes its job when there is room", async () => {
  const pool = "crowded";
  const lane = `comfyq:jobs-${pool}:delayed`;
  await system.redisCommand(
    "EVAL",
    `for n = 1, 100001 do redis.call("ZADD", KEYS[1], 9e18, "crowd-" .. n) end`,
    "1",
    lane,
  );
  await schedules.put("crowded", { every_s: 1, limit: 1, job: job(50, { pool }) });
  const [waiting] = await schedules.untilTicks(
    "crowded",
    (found) => found[0]?.reason?.includes("jobs waiting") === true,
  );
  expect(waiting).toMatchObject({ outcome: "waiting", job_id: null });
  await system.redisCommand("DEL", lane);
  const [made] = await schedules.untilTicks("crowded", (found) => settled(found).length === 1);
  expect(made).toMatchObject({ outcome: "job", tick_at: waiting?.tick_at });
}, 60_000);
