import { expect, test } from "vitest";
import { workerCheck } from "../src/doctor/workerCheck.ts";
import { workerBeat } from "./setup.ts";

test("the doctor tells how a GPU spent its time, and warns when it waits for the store", () => {
  const idle_s = { no_job: 5, preparing: 0.1, storage_backlog: 20, not_well: 0 };
  const waiting = workerCheck(workerBeat({ gpu: { state: "storage_backlog", busy_s: 75, idle_s } }));
  expect(waiting.found).toMatch(/; GPU: rendering 75 %, storage_backlog 20 %, no_job 5 %$/);
  expect([waiting.state, waiting.advice]).toEqual(["warn", expect.stringContaining("COMFYQ_STORING_MAX")]);
  expect(workerCheck(workerBeat({ gpu: { state: "rendering", busy_s: 75, idle_s } })).state).toBe("ok");
});

test("a cloud has an account instead of a log, and is not taken for one that never answered when it tells no version", () => {
  const cloud = { cloud: true, instance: "https://cloud.comfy.org", comfyui_version: null };
  expect(workerCheck(workerBeat({ ...cloud, fingerprint: "f" })).found).toContain("a cloud at https://cloud.comfy.org");
  expect(workerCheck(workerBeat(cloud)).found).toContain("a cloud that has not answered yet");
  expect(workerCheck(workerBeat({ ...cloud, comfyui_version: "0.36.0" })).found).toContain(
    "a cloud with ComfyUI 0.36.0",
  );
  const late = workerCheck(workerBeat({ ...cloud, fingerprint: "f", overflow_after_s: 30 }));
  expect(late.found).toContain("https://cloud.comfy.org, for jobs that have waited 30 s");
  const empty = workerCheck(workerBeat({ ...cloud, state: "quarantined", reason: "it answered 402" }));
  expect(empty).toMatchObject({
    state: "fail",
    found: expect.stringContaining("402"),
    advice: expect.stringMatching(/credits/),
  });
});

test("a worker of an older version, which does not tell of its GPU, is as well as it says", () => {
  expect(workerCheck(workerBeat())).toMatchObject({ state: "ok", advice: null });
  expect(workerCheck(workerBeat({ state: "unready", reason: "it is away" })).state).toBe("fail");
});
