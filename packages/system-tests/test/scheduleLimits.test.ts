import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type LimitsView, type Tick, toMoment } from "@comfyq/contract";
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { valuesOnly } from "./graphs.ts";
import { timedJob } from "./lanes.ts";
import { scheduling, settled } from "./scheduling.ts";
import { readJson, setup } from "./setup.ts";

// A moment is missed after 12 s, a tick that waits is looked at every 0.4 s.
const system = await setup({ workers: 1, timeScale: 0.2 });
afterAll(() => system[Symbol.asyncDispose]());
const schedules = scheduling(system);
const patience = { timeout: 30_000, interval: 100 };

/** What an operator writes into limits.json: how many of the tenant's jobs may be queued. */
async function limitQueued(queued: number | null): Promise<void> {
  const path = join(system.dataDir, "limits.json");
  await writeFile(`${path}.new`, JSON.stringify({ v: 1, default: { queued } }));
  await rename(`${path}.new`, path);
  await vi.waitFor(async () => {
    const limits = await readJson<LimitsView>(system.get("/v1/limits"));
    expect(limits.queued.limit).toBe(queued);
  }, patience);
}

beforeEach(() => limitQueued(null));

/** Fills the only place among the queued. @returns what frees it again */
async function fillUp(): Promise<() => Promise<void>> {
  await limitQueued(1);
  const { id } = await system.submit({ workflow: valuesOnly, pool: "nobody" });
  return async () => void (await system.post(`/v1/jobs/${id}/cancel`));
}

const LIMIT = expect.stringContaining("Your limit of 1 queued jobs is reached");
const isWaiting = (ticks: readonly Tick[]) =>
  ticks.some(({ outcome, reason }) => outcome === "waiting" && reason?.includes("limit of 1 queued") === true);

/** The tick that waits was decided so long ago. Whatever else stands there, and its order, stays. */
async function letWait(name: string, ms: number): Promise<void> {
  const key = `comfyq:schedule:default:${name}`;
  const pending = JSON.parse(await system.redisCommand("HGET", key, "pending"));
  const older = { ...pending, decidedAtMs: pending.decidedAtMs - ms };
  await system.redisCommand("HSET", key, "pending", JSON.stringify(older));
}

const HALF_AN_HOUR_MS = 30 * 60_000;

test("at a limit of its tenant a tick waits and says why, and its job is made as soon as there is room", async () => {
  const free = await fillUp();
  await schedules.put("limited", { every_s: 1, limit: 1, job: timedJob(50) });
  const [waiting] = await schedules.untilTicks("limited", isWaiting);
  expect(waiting).toMatchObject({ outcome: "waiting", job_id: null, reason: LIMIT });
  expect((await system.post("/v1/schedules/limited/run")).status).toBe(429); // out of turn is no way around it
  await free();
  const [made] = await schedules.untilTicks("limited", (ticks) => settled(ticks).length === 1);
  expect(made).toMatchObject({ outcome: "job", tick_at: waiting?.tick_at });
  expect(made?.reason).toMatch(/^It waited: Your limit of 1 queued jobs/);
}, 60_000);

test("with catch_up none a tick that found no room for ten minutes is missed for that reason, and told so", async () => {
  const free = await fillUp();
  const webhook = { url: system.sink.url };
  await schedules.put("given-up", {
    every_s: 3_600,
    start_at: toMoment(Date.now() + 1_000),
    catch_up: "none",
    webhook,
    job: timedJob(50),
  });
  await schedules.untilTicks("given-up", isWaiting);
  await letWait("given-up", HALF_AN_HOUR_MS);
  const [missed] = await schedules.untilTicks("given-up", (ticks) => settled(ticks).length === 1);
  expect(missed).toMatchObject({ outcome: "missed", job_id: null, reason: LIMIT });
  const told = () =>
    system.sink
      .ofType("schedule.missed")
      .filter(({ event: { data } }) => "schedule" in data && data.schedule === "given-up");
  await vi.waitFor(() => expect(told()).toHaveLength(1), patience);
  expect(told()).toMatchObject([{ isGenuine: true, event: { data: { count: 1, reason: LIMIT } } }]);
  await free();
}, 60_000);

test("with catch_up last a tick waits for room until there is a newer one, which then waits in its stead", async () => {
  const free = await fillUp();
  await schedules.put("newest", { every_s: 2, catch_up: "last", job: timedJob(50, { tags: ["newest"] }) });
  const [first] = await schedules.untilTicks("newest", isWaiting);
  await letWait("newest", HALF_AN_HOUR_MS);
  const ticks = await schedules.untilTicks("newest", (found) => settled(found).length > 0 && isWaiting(found));
  expect(ticks[0]).toMatchObject({ tick_at: first?.tick_at, outcome: "missed", reason: LIMIT });
  await free();
  await schedules.untilTicks("newest", (found) => found.some(({ outcome }) => outcome === "job"));
  await fetch(`${system.url}/v1/schedules/newest`, { method: "DELETE" });
}, 60_000);

test("with catch_up all a tick waits for as long as it takes, and what passed meanwhile is said to have passed for that", async () => {
  const free = await fillUp();
  await schedules.put("all", { every_s: 60, catch_up: "all", catch_up_max: 2, job: timedJob(50) });
  await schedules.neglect("all", 630_000);
  const first = (await schedules.untilTicks("all", isWaiting)).at(-1);
  await letWait("all", HALF_AN_HOUR_MS);
  await schedules.put("bystander", { every_s: 1, limit: 1, job: timedJob(50) });
  await schedules.untilTicks("bystander", isWaiting); // others were looked at since
  const last = (await schedules.ticksOf("all")).at(-1);
  expect(last).toMatchObject({ tick_at: first?.tick_at, outcome: "waiting", reason: LIMIT });
  await schedules.neglect("all", 630_000); // as if it had waited for so long
  await free();
  const isMade = ({ tick_at, outcome }: Tick) => tick_at === first?.tick_at && outcome === "job";
  const isTold = ({ outcome, reason }: Tick) =>
    outcome === "missed" && reason?.includes(`the tick of ${first?.tick_at} was not over: It waited: Your limit`);
  await schedules.untilTicks("all", (ticks) => ticks.some(isMade) && ticks.some(isTold));
}, 60_000);

test("a rule that is changed by PUT fires at its new moments only; its history and its count go on", async () => {
  const job = timedJob(50, { tags: ["changed"] });
  await schedules.put("changed", { every_s: 1, job });
  await schedules.untilTicks("changed", (ticks) => settled(ticks).length >= 2);
  const cron = "*/3 * * * * *";
  const changed = await schedules.put("changed", { cron, limit: 50, job });
  expect(changed).toMatchObject({ cron, state: "active" });
  expect(changed.next_at.every((moment) => Date.parse(moment) % 3_000 === 0)).toBe(true);
  const before = await schedules.ticksOf("changed");
  const isNew = ({ tick_at }: Tick) => Date.parse(tick_at) > Date.parse(String(before.at(-1)?.tick_at));
  const ticks = await schedules.untilTicks("changed", (found) => settled(found).filter(isNew).length >= 3);
  expect(ticks.slice(0, before.length).map(({ tick_at }) => tick_at)).toEqual(before.map(({ tick_at }) => tick_at));
  expect(ticks.filter(isNew).every(({ tick_at }) => Date.parse(tick_at) % 3_000 === 0)).toBe(true);
  expect((await schedules.put("changed", { cron, limit: 50, job })).updated_at).toBe(changed.updated_at); // the same again
  const over = await schedules.put("changed", { cron, limit: 1, job });
  expect(over).toMatchObject({ state: "over", next_at: [] });
  expect(over.fired).toBeGreaterThanOrEqual(5);
}, 60_000);
