import { afterAll, expect, test, vi } from "vitest";
import { isEnded, manifestOf, queueOf, setup, sleeper } from "./setup.ts";

vi.setConfig({ testTimeout: 60_000 });

// The switches are read when the first fail point is reached, and count over the whole file: the first job sleeps before it
// seals, the second before it submits. The lock of these tests lasts 2 s.
process.env["COMFYQ_FAIL_POINTS"] = "1";
process.env["FAILPOINT"] = "outputs_stored:block:3000@1,journaled:block:3000@2";
afterAll(() => {
  delete process.env["COMFYQ_FAIL_POINTS"];
});

test("a worker that slept through its lock does not seal: the next attempt does, without another render", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  const job = await house.submit(sleeper(20, 1));
  expect(await house.until(job, isEnded)).toMatchObject({ status: "succeeded", attempts: 2 });
  expect((await manifestOf(house.files, job))?.epoch).toBe(2);
  expect(simulator.stats().prompts.map(({ started }) => started)).toEqual([1]);
  const attempts = await house.producer.attempts("default", job);
  expect(attempts?.map(({ end }) => end)).toEqual(["given_back", "succeeded"]);
});

test("a worker that slept through its lock does not submit: ComfyUI sees the next attempt's prompt only", async () => {
  const house = await setup();
  const simulator = await house.simulator();
  await house.worker(simulator.url);
  const job = await house.submit(sleeper(20, 1));
  expect(await house.until(job, isEnded)).toMatchObject({ status: "succeeded", attempts: 2 });
  expect(simulator.stats().prompts).toHaveLength(1);
  expect(await queueOf(simulator.url)).toEqual([]);
});
