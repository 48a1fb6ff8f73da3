import { afterAll, expect, test } from "vitest";
import { timedJob } from "./lanes.ts";
import { setup } from "./setup.ts";
import { HOUR_MS, SHIFTED_CLOCK } from "./shiftedClock.ts";
import { attemptsOf, expectOneSuccess, expectToldOnce, historyOf, promptsOf } from "./traces.ts";

const system = await setup({
  workers: 2,
  timeScale: 0.2,
  env: { ...SHIFTED_CLOCK, COMFYQ_DRAIN_S: "0", CLOCK_JUMPS_MS: `${HOUR_MS},${-HOUR_MS},0` },
});
afterAll(() => system[Symbol.asyncDispose]());

test("clocks that jump an hour forth and back while jobs run and wait: no lock is lost, nothing expires, each job runs once", async () => {
  for (const jump of ["an hour ahead", "an hour behind", "right again"]) {
    const body = () => timedJob(1_000, { expires_in_s: 600, webhook: { url: system.sink.url } });
    const jobs = await Promise.all([1, 2, 3, 4].map(() => system.submit(body())));
    const [running] = jobs;
    await system.until(String(running?.id), ({ stage }) => stage === "rendering");
    // The other worker keeps its clock.
    for (const who of [system.api, system.dispatcher, system.workers[0]]) if (who) process.kill(who.pid, "SIGUSR2");
    jobs.push(await system.submit(body()));
    for (const { id } of jobs) {
      await expectOneSuccess(system, id);
      expect([jump, await attemptsOf(system, id)]).toMatchObject([jump, [{ end: "succeeded" }]]);
      expect(await promptsOf(system, id)).toMatchObject([{ submitted: 1, started: 1 }]);
      expect((await historyOf(system, id)).filter(({ op }) => op === "fenced")).toEqual([]);
      // Until its clock is right, a dispatcher's signatures are too old or too new for anybody to believe them.
      if (jump === "right again") await expectToldOnce(system, id, "job.succeeded");
    }
  }
}, 60_000);
