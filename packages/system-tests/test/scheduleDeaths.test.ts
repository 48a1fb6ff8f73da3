import { afterAll, describe, expect, test, vi } from "vitest";
import { timedJob } from "./lanes.ts";
import { type Running, startProcess } from "./processes.ts";
import { expectEachOnce, scheduling, settled } from "./scheduling.ts";
import { setup } from "./setup.ts";

// Nobody renders here: jobs are counted. One after the other, since all share the dispatchers.
const system = await setup({ workers: 0, timeScale: 0.2 });
const more: Running[] = [];
afterAll(async () => {
  await Promise.all(more.map((running) => running.stop("SIGKILL")));
  await system[Symbol.asyncDispose]();
});
const schedules = scheduling(system);
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A job with a tag to count it by. */
const job = (tag: string) => timedJob(50, { tags: [tag] });

async function startDispatcher(env: Readonly<Record<string, string>> = {}): Promise<Running> {
  const running = await startProcess("dispatcher", { env: { ...system.env, COMFYQ_PUBLIC_URL: system.url, ...env } });
  more.push(running);
  return running;
}

/** Each tick has its job and each job its tick: none twice, none for nothing. */
async function expectOneJobPerTick(name: string, count: number): Promise<readonly string[]> {
  const ticks = settled(await schedules.ticksOf(name));
  const jobs = await schedules.jobsTagged(name);
  const moments = ticks.map(({ tick_at }) => tick_at);
  expect(ticks.map(({ outcome }) => outcome)).toEqual(Array.from({ length: count }, () => "job"));
  expect(new Set(moments).size).toBe(count);
  expect(jobs.map(({ schedule }) => String(schedule?.tick_at)).toSorted()).toEqual(moments.toSorted());
  expect(jobs.map(({ id }) => id).toSorted()).toEqual(ticks.map(({ job_id }) => String(job_id)).toSorted());
  return moments;
}

test("a job that ends while the next moment is looked at: the tick that waited for it is made first, not overtaken", async () => {
  await system.dispatcher.stop("SIGKILL");
  const frozen = await startDispatcher({ FAILPOINT: "tick_due:block:3000@3" });
  await schedules.put("waiting", { every_s: 1, overlap: "queue_one", job: job("waiting") });
  const [first, second] = await schedules.untilTicks("waiting", ([, waits]) => waits?.outcome === "waiting");
  // The third moment has come, and nobody has decided it: it is looked at.
  const thirdMs = Date.parse(String(second?.tick_at)) + 1_000;
  await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(thirdMs + 300), 10_000);
  await system.post(`/v1/jobs/${first?.job_id}/cancel`);
  const isMade = ({ outcome }: { readonly outcome: string }) => outcome === "job";
  const ticks = await schedules.untilTicks("waiting", (found) => found.filter(isMade).length === 2);
  expect(ticks.filter(isMade).map(({ tick_at }) => tick_at)).toEqual([first?.tick_at, second?.tick_at]);
  await fetch(`${system.url}/v1/schedules/waiting`, { method: "DELETE" });
  await frozen.stop("SIGKILL");
  await system.restartDispatcher();
}, 60_000);

describe("a dispatcher is killed", () => {
  test.each(["tick_due", "tick_decided", "tick_canceled", "tick_submitted", "tick_finished"])(
    "at %s: another one ends the tick, and its moment has one job",
    async (point) => {
      const name = point.replaceAll("_", "-");
      await system.dispatcher.stop("SIGKILL");
      const doomed = await startDispatcher({ FAILPOINT: `${point}:kill9@1` });
      await schedules.put(name, { every_s: 1, limit: 4, overlap: "cancel_previous", catch_up: "all", job: job(name) });
      expect(await doomed.ended()).toBeNull();
      await system.restartDispatcher();
      await schedules.untilTicks(name, (ticks) => settled(ticks).length === 4);
      expectEachOnce(await expectOneJobPerTick(name, 4), 1_000);
      const jobs = await schedules.jobsTagged(name);
      expect(jobs.map(({ status }) => status).toSorted()).toEqual(["canceled", "canceled", "canceled", "queued"]);
    },
    60_000,
  );

  test("at missed_told: the gap is told once", async () => {
    await system.dispatcher.stop("SIGKILL");
    const rule = { every_s: 60, catch_up: "none", webhook: { url: system.sink.url } };
    await schedules.put("gap", { ...rule, job: job("gap") });
    const doomed = await startDispatcher({ FAILPOINT: "missed_told:kill9@1" });
    await schedules.neglect("gap", 630_000);
    expect(await doomed.ended()).toBeNull();
    await system.restartDispatcher();
    const [tick] = await schedules.untilTicks("gap", (ticks) => ticks.length === 1);
    expect(tick).toMatchObject({ outcome: "missed", count: 10 });
    const events = () => system.sink.all().filter(({ event }) => event.type === "schedule.missed");
    await vi.waitFor(() => expect(events().length).toBeGreaterThan(0), 20_000);
    // What follows on the same line has arrived, too: there is no second one on its way.
    await schedules.put("gap-after", { ...rule, job: job("gap") });
    await schedules.neglect("gap-after", 630_000);
    await vi.waitFor(() => expect(events().some(({ body }) => body.includes("gap-after"))).toBe(true), 20_000);
    expect(
      new Set(
        events()
          .filter(({ body }) => !body.includes("gap-after"))
          .map(({ id }) => id),
      ).size,
    ).toBe(1);
  }, 60_000);
});

test("paused in the middle of a tick, that tick makes its job, and none after it does", async () => {
  await system.dispatcher.stop("SIGKILL");
  const slow = await startDispatcher({ FAILPOINT: "tick_decided:delay:1500@1" });
  await schedules.put("paused", { every_s: 1, job: job("paused") });
  await schedules.untilTicks("paused", (ticks) => ticks.length === 1);
  await system.post("/v1/schedules/paused/pause");
  await schedules.untilTicks("paused", (ticks) => settled(ticks).length === 1);
  await wait(1_500); // longer than until the next moment
  await expectOneJobPerTick("paused", 1);
  await system.post("/v1/schedules/paused/resume");
  const ticks = await schedules.untilTicks("paused", (found) => settled(found).length >= 2);
  expect(ticks.every(({ outcome }) => outcome !== "missed")).toBe(true);
  await fetch(`${system.url}/v1/schedules/paused`, { method: "DELETE" });
  await slow.stop("SIGKILL");
  await system.restartDispatcher();
}, 60_000);

test("Redis is killed and started again, twice: every moment has its job, once", async () => {
  await schedules.put("redis", { every_s: 1, limit: 12, catch_up: "all", job: job("redis") });
  for (const seen of [2, 6]) {
    await schedules.untilTicks("redis", (ticks) => settled(ticks).length >= seen);
    await system.redis.kill();
    await wait(700);
    await system.redis.restart();
    await vi.waitFor(async () => expect((await system.get("/readyz")).status).toBe(200), {
      timeout: 20_000,
      interval: 50,
    });
  }
  await schedules.untilTicks("redis", (ticks) => settled(ticks).length === 12);
  expectEachOnce(await expectOneJobPerTick("redis", 12), 1_000);
}, 90_000);

/** Moments that passed before anybody came, and moments that come while dispatchers die. */
const [PASSED, LIVE] = [150, 50];

test(`three dispatchers on one schedule, ${PASSED + LIVE} ticks, kill -9 all the time: ${PASSED + LIVE} jobs, one for each moment`, async () => {
  await system.dispatcher.stop("SIGKILL");
  const limit = PASSED + LIVE;
  await schedules.put("storm", { every_s: 1, limit, catch_up: "all", catch_up_max: 1_000, job: job("storm") });
  await schedules.neglect("storm", PASSED * 1_000);
  const fleet = await Promise.all([startDispatcher(), startDispatcher(), startDispatcher()]);
  let killed = 0;
  for (let at = 0; settled(await schedules.ticksOf("storm")).length < limit; at = (at + 1) % 3) {
    await wait(Math.random() * 600);
    await fleet[at]?.stop("SIGKILL");
    killed += 1;
    fleet[at] = await startDispatcher();
  }
  expect(killed).toBeGreaterThan(5);
  expectEachOnce(await expectOneJobPerTick("storm", limit), 1_000);
  await Promise.all(fleet.map((running) => running.stop("SIGTERM")));
  await system.restartDispatcher();
}, 240_000);
