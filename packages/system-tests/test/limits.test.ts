import type { LimitsView } from "@comfyq/contract";
import { afterAll, expect, test } from "vitest";
import { timedJob } from "./lanes.ts";
import { isFinished, readJson, setup } from "./setup.ts";
import { attemptsOf } from "./traces.ts";

const system = await setup({ workers: 2, timeScale: 0.2 });
afterAll(() => system[Symbol.asyncDispose]());

test("GPU time of a render whose worker was killed is charged to its tenant, beside that of the render that succeeded", async () => {
  const { id } = await system.submit(timedJob(4_000));
  await system.until(id, ({ progress }) => (progress?.value ?? 0) > 0.3);
  const [first] = await attemptsOf(system, id);
  const at = Number(first?.worker.split("-")[1]);
  await system.workers[at]?.stop("SIGKILL");
  await system.simulators[at]?.stop("SIGKILL"); // nobody goes on with its prompt
  const job = await system.until(id, isFinished);
  expect(job).toMatchObject({ status: "succeeded", attempts: 2 });
  const charged = Number(await system.redisCommand("HGET", `comfyq:attempts:${id}`, "charged:1"));
  expect(charged).toBeGreaterThan(0);
  const usedMs = async () => (await readJson<LimitsView>(system.get("/v1/limits"))).gpu_seconds_per_day.used * 1_000;
  // The second render took all of its time; a few ms of that are nobody's.
  await expect.poll(usedMs).toBeGreaterThan(charged + 0.9 * (job.metrics.render_ms ?? 0));
}, 60_000);
