import { getEventListeners } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test, vi } from "vitest";
import { every, monotonicMs, nowMs, sleep, withDeadline } from "../src/index.ts";

const onAbort = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(signal.reason), { once: true }));

test("sleep rejects with the signal's reason and leaves no listener behind", async () => {
  const controller = new AbortController();
  const asleep = sleep(60_000, controller.signal);
  const why = new Error("enough");
  controller.abort(why);
  await expect(asleep).rejects.toBe(why);
  await expect(sleep(60_000, controller.signal)).rejects.toBe(why);
  const calm = new AbortController();
  await sleep(1, calm.signal);
  expect(getEventListeners(calm.signal, "abort")).toHaveLength(0);
});

test("a sleep longer than a timer can hold ends when it is over, not at once", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  let slept = false;
  const asleep = sleep(2 ** 31 + 1_000).then(() => {
    slept = true;
  });
  await vi.advanceTimersByTimeAsync(2 ** 31);
  expect(slept).toBe(false);
  await vi.advanceTimersByTimeAsync(1_000);
  await asleep;
});

test("a sleep without end can be woken", async () => {
  const controller = new AbortController();
  const endings: string[] = [];
  const asleep = [2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY].map((ms) =>
    sleep(ms, controller.signal).then(
      () => endings.push("slept"),
      () => endings.push("woken"),
    ),
  );
  await sleep(20);
  expect(endings).toEqual([]);
  controller.abort();
  await Promise.all(asleep);
  expect(endings).toEqual(["woken", "woken", "woken"]);
});

test("withDeadline aborts with the given reason, with a TimeoutError, or with its parent's reason", async () => {
  const why = new Error("too late");
  expect(await onAbort(withDeadline(undefined, 1, why))).toBe(why);
  expect(await onAbort(withDeadline(new AbortController().signal, 1))).toMatchObject({ name: "TimeoutError" });
  const parent = new AbortController();
  const narrowed = withDeadline(parent.signal, 60_000);
  parent.abort("parent");
  expect(narrowed.reason).toBe("parent");
});

test("a deadline survives garbage collection, and a thousand of them leave no listener on their parent", async () => {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  const parent = new AbortController();
  const passed = onAbort(withDeadline(parent.signal, 50, "passed"));
  for (let made = 0; made < 1_000; made += 1) withDeadline(parent.signal, 60_000);
  collect();
  await sleep(1);
  collect();
  expect(await passed).toBe("passed");
  expect(getEventListeners(parent.signal, "abort")).toHaveLength(0);
});

test("every never overlaps, tells its errors and goes on, and ends when aborted", async () => {
  const stop = new AbortController();
  const errors: unknown[] = [];
  let running = 0;
  let most = 0;
  let runs = 0;
  const once = async (): Promise<void> => {
    running += 1;
    most = Math.max(most, running);
    await sleep(2);
    running -= 1;
    runs += 1;
    if (runs === 2) throw new Error("second");
    if (runs === 4) stop.abort();
  };
  await every(0, once, { signal: stop.signal, onError: (error) => errors.push(error) });
  expect({ most, runs }).toEqual({ most: 1, runs: 4 });
  expect(errors).toMatchObject([{ message: "second" }]);
});

test("what a run throws because it was aborted is no error", async () => {
  const stop = new AbortController();
  const errors: unknown[] = [];
  const loop = every(0, (signal) => sleep(60_000, signal), { signal: stop.signal, onError: (e) => errors.push(e) });
  stop.abort();
  await loop;
  expect(errors).toEqual([]);
});

test("nowMs is Unix milliseconds and monotonicMs never goes backwards", () => {
  expect(new Date(nowMs()).getFullYear()).toBeGreaterThan(2024);
  const first = monotonicMs();
  expect(monotonicMs()).toBeGreaterThanOrEqual(first);
});
