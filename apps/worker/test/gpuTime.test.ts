import { expect, test } from "vitest";
import { createBacklog } from "../src/backlog.ts";
import { createGpuClock, idleSeconds } from "../src/gpuClock.ts";

test("every second of a GPU is told once: with a prompt, or by what it waits for", async () => {
  let nowMs = 1_000;
  const gpu = createGpuClock(() => nowMs);
  const spend = (ms: number) => {
    nowMs += ms;
  };
  spend(500); // nobody has looked at it yet
  gpu.enter("no_job");
  spend(2_000);
  gpu.enter("preparing");
  gpu.enter("rendering");
  await gpu.untilRendering();
  spend(3_000);
  gpu.enter("storage_backlog");
  spend(250);
  expect(gpu.seconds("rendering")).toBe(3);
  expect(idleSeconds(gpu)).toEqual({ not_well: 0.5, no_job: 2, preparing: 0, storage_backlog: 0.25 });
  let isRendering = false;
  const again = gpu.untilRendering().then(() => {
    isRendering = true;
  });
  await Promise.resolve();
  expect(isRendering).toBe(false);
  gpu.enter("rendering");
  await again;
});

test("a backlog is full by jobs or by bytes, and whoever waits goes on when one is stored", async () => {
  const backlog = createBacklog({ maxJobs: 2, maxBytes: 100 });
  const { signal } = new AbortController();
  backlog.weigh("a", 500); // not rendered yet: means nothing
  backlog.add("a");
  backlog.weigh("a", 101);
  expect([backlog.jobs, backlog.bytes, backlog.isFull]).toEqual([1, 101, true]);
  const waiting = backlog.untilRoom(signal);
  backlog.remove("a");
  await waiting;
  backlog.add("b");
  backlog.add("b");
  expect(backlog.isFull).toBe(false);
  backlog.add("c");
  expect(backlog.isFull).toBe(true);
  const stopped = new AbortController();
  const given = expect(backlog.untilRoom(stopped.signal)).rejects.toThrow("stopping");
  stopped.abort(new Error("stopping"));
  await given;
});
