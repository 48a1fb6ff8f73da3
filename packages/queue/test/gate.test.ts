import { expect, test, vi } from "vitest";
import { comeBackIfCalled, enterGate, type Guest, leaveGate, tendGates } from "../src/gate.ts";
import type { Delivery } from "../src/index.ts";
import { accepted, type Send, sending } from "./sending.ts";

const patience = { timeout: 20_000, interval: 20 };

/** A receiver per host: `hang` never answers until it is freed. */
function receivers() {
  const freed = Promise.withResolvers<void>();
  const under = new Map<string, number>();
  const seen: Delivery[] = [];
  let most = 0;
  const send: Send = async (delivery) => {
    const { host } = new URL(delivery.url);
    seen.push(delivery);
    const now = (under.get(host) ?? 0) + 1;
    under.set(host, now);
    most = Math.max(most, now);
    if (host.startsWith("hang")) await freed.promise;
    else await new Promise(setImmediate);
    under.set(host, (under.get(host) ?? 0) - 1);
    return { ...accepted, latencyMs: host.startsWith("hang") ? 15_000 : 1 };
  };
  const to = (start: string) => seen.filter(({ url }) => new URL(url).host.startsWith(start));
  return { send, to, most: () => most, beforeClose: () => freed.resolve() };
}

test("a host that nobody has met yet waits for one try of those that hang, and no longer", async () => {
  const { send, to, beforeClose } = receivers();
  const { queue } = await sending(send, { beforeClose });
  await Promise.all(Array.from({ length: 300 }, (_, at) => queue({ url: `http://hang-${at % 100}.example/` })));
  await vi.waitFor(() => expect(to("hang").length).toBeGreaterThan(0), patience);
  await queue({ url: "http://good.example/" });
  await queue({ url: "http://good.example/" });
  await vi.waitFor(() => expect(to("hang")).toHaveLength(32), patience);
  beforeClose();
  await vi.waitFor(() => expect(to("good")).toHaveLength(2), patience);
});

test("a host that answered swiftly is served at once while 100 others hang", async () => {
  const { send, to, beforeClose } = receivers();
  const { queue } = await sending(send, { beforeClose });
  await queue({ url: "http://good.example/" });
  await vi.waitFor(() => expect(to("good")).toHaveLength(1), patience);
  await Promise.all(Array.from({ length: 300 }, (_, at) => queue({ url: `http://hang-${at % 100}.example/` })));
  await vi.waitFor(() => expect(to("hang").length).toBeGreaterThanOrEqual(32), patience);
  await Promise.all(Array.from({ length: 50 }, () => queue({ url: "http://good.example/" })));
  await vi.waitFor(() => expect(to("good")).toHaveLength(51), patience);
  expect(to("hang")).toHaveLength(32); // the slots that strangers and the slow share
});

/** Nobody in a line looks by itself for longer than a test lasts: whoever is not called is not sent. */
const gates = { perHost: 4, leaseMs: 600_000 };

test("one host gets four at once, oldest first; each is looked at twice and not again and again", async () => {
  const COUNT = 200;
  const { send, to, most, beforeClose: free } = receivers();
  const { queue, errands } = await sending(send, { timeScale: 1, gates, beforeClose: free });
  const url = "http://hang.example/";
  await errands.room.redis.zadd("comfyq:gates:slow", Date.now() + 600_000, "hang.example"); // it is known, and has four slots
  const ids: string[] = [];
  for (let at = 0; at < COUNT; at += 1) ids.push(await queue({ url }));
  const line = () => errands.room.redis.zcard("comfyq:gate:hang.example:line");
  await vi.waitFor(async () => expect(await line()).toBe(COUNT - 4), patience);
  expect(to("hang")).toHaveLength(4);
  free();
  await vi.waitFor(async () => expect(await errands.room.deliveries.getCompletedCount()).toBe(COUNT), patience);
  expect(most()).toBe(4);
  const places = to("hang").map(({ eventId }) => ids.indexOf(eventId ?? ""));
  for (const [at, place] of places.entries()) expect(Math.abs(place - at)).toBeLessThan(COUNT / 4); // nearly in their order
  const jobs = await Promise.all(ids.map((id) => errands.room.deliveries.getJob(id)));
  for (const job of jobs) expect(job?.attemptsStarted).toBeLessThanOrEqual(2);
  for (const job of jobs) expect(job?.attemptsMade).toBe(1); // to wait in line used up no try
  expect(await errands.room.redis.keys("comfyq:gate:*")).toEqual([]);
});

test("dispatchers share one host's slots", async () => {
  const { send, to, most } = receivers();
  const { queue, open } = await sending(send, { gates });
  await open(send, { gates });
  await open(send, { gates });
  await queue({ url: "http://good.example/" });
  await Promise.all(Array.from({ length: 60 }, () => queue({ url: "http://good.example/" })));
  await vi.waitFor(() => expect(to("good")).toHaveLength(61), patience);
  expect(most()).toBeLessThanOrEqual(4);
});

test("what is called in the moment between being refused and being put off comes back at once", async () => {
  const { queue, errands } = await sending(async () => accepted);
  const { room } = errands;
  await room.deliveries.pause(); // the dispatcher leaves it to the test
  const [first, second] = [await queue(), await queue()];
  const limits = { perHost: 1, leaseMs: 600_000 };
  const guest = (id: string): Guest => ({ id, tenant: "acme", host: "a.example" });
  expect(await enterGate(room, guest(first), { limits, opened: "{}" })).toMatchObject({ kind: "try" });
  expect(await enterGate(room, guest(second), { limits, opened: "{}" })).toEqual({ kind: "line", place: 0 });
  const leaving = { number: 1, closed: "{}", pace: "swift", failedMadeAtMs: undefined } as const;
  await leaveGate(room, guest(first), { limits, leaving }); // calls the second, which is not yet put off
  await room.redis.lrem("comfyq:deliveries:wait", 0, second);
  await room.redis.zadd("comfyq:deliveries:delayed", (Date.now() + 600_000) * 0x1000, second);
  await comeBackIfCalled(room, guest(second), limits);
  expect(await room.deliveries.getDelayedCount()).toBe(0);
  expect(await room.redis.lrange("comfyq:deliveries:wait", -1, -1)).toEqual([second]); // next of all
});

test("a thousand deliveries to one host that takes its time: those to another, queued after all of them, are sent meanwhile", async () => {
  const { send, to, beforeClose } = receivers();
  const { queue, errands } = await sending(send, { timeScale: 1, gates, beforeClose });
  const hosts = ["hang.example", "good.example"];
  for (const host of hosts) await errands.room.redis.zadd("comfyq:gates:swift", Date.now() + 600_000, host); // both are known
  await Promise.all(Array.from({ length: 1_000 }, () => queue({ url: "http://hang.example/" })));
  await Promise.all(Array.from({ length: 100 }, () => queue({ url: "http://good.example/" })));
  await vi.waitFor(() => expect(to("good")).toHaveLength(100), patience);
  expect(to("hang")).toHaveLength(4); // its own slots, and nobody else's
}, 60_000);

test("slots that a dead dispatcher held go to the next in line when the gates are tended; hosts nobody asks for are forgotten", async () => {
  const { queue, errands } = await sending(async () => accepted);
  const { room } = errands;
  const { redis } = room;
  await room.deliveries.pause(); // the dispatcher leaves it to the test
  const [dead, next] = [await queue(), await queue()];
  const limits = { perHost: 1, leaseMs: 600_000 };
  const guest = (id: string): Guest => ({ id, tenant: "acme", host: "a.example" });
  expect(await enterGate(room, guest(dead), { limits, opened: "{}" })).toMatchObject({ kind: "try" });
  expect(await enterGate(room, guest(next), { limits, opened: "{}" })).toMatchObject({ kind: "line" });
  await redis.lrem("comfyq:deliveries:paused", 0, next);
  await redis.lrem("comfyq:deliveries:wait", 0, next);
  await redis.zadd("comfyq:deliveries:delayed", (Date.now() + 600_000) * 0x1000, next); // put off, as it was told
  await redis.zadd("comfyq:gates:swift", 1, "long-ago.example");

  await tendGates(room, limits);
  expect(await room.deliveries.getDelayedCount()).toBe(1); // the lease of the first has not run out
  await redis.zadd("comfyq:gate:a.example:active", "XX", 1, dead);
  await redis.zadd("comfyq:gates:cautious", "XX", 1, dead);
  await tendGates(room, limits);
  expect(await room.deliveries.getDelayedCount()).toBe(0);
  expect(await redis.lrange("comfyq:deliveries:wait", -1, -1)).toEqual([next]);
  expect(await redis.zrange("comfyq:gate:a.example:active", "0", "-1")).toEqual([next]);
  expect(await redis.zscore("comfyq:gates:swift", "long-ago.example")).toBeNull();

  expect(await enterGate(room, guest(next), { limits, opened: "{}" })).toMatchObject({ kind: "try" });
  const leaving = { number: 1, closed: "{}", pace: "swift", failedMadeAtMs: undefined } as const;
  await leaveGate(room, guest(next), { limits, leaving });
  await tendGates(room, limits);
  expect(await redis.keys("comfyq:gate:*")).toEqual([]);
});

test("hosts that waited for a cautious slot get those that the dead have left, who came first first", async () => {
  const { queue, errands } = await sending(async () => accepted);
  const { room } = errands;
  const { redis } = room;
  await room.deliveries.pause();
  const limits = { perHost: 4, leaseMs: 600_000 };
  const slots = room.settings.cautiousSlots;
  const guests: Guest[] = [];
  for (let at = 0; at < slots + 10; at += 1)
    guests.push({ id: await queue({ url: `http://h${at}.example/` }), tenant: "acme", host: `h${at}.example` });
  const entered = [];
  let last = 0;
  for (const guest of guests) {
    await vi.waitFor(async () => expect(await redisMs()).toBeGreaterThan(last), { interval: 1 }); // no two came in one millisecond
    entered.push(await enterGate(room, guest, { limits, opened: "{}" }));
    last = await redisMs();
  }
  expect(entered.filter(({ kind }) => kind === "try")).toHaveLength(slots);
  const ids = guests.map(({ id }) => id);
  await redis.zadd("comfyq:gates:cautious", "XX", 1, ids[0] ?? "", 1, ids[1] ?? ""); // their dispatcher died long ago
  await tendGates(room, limits);
  const holders = await redis.zrange("comfyq:gates:cautious", "0", "-1");
  expect(new Set(holders)).toEqual(new Set(ids.slice(2, slots + 2)));

  async function redisMs(): Promise<number> {
    const [seconds = 0, micros = 0] = await redis.time();
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
  }
});
