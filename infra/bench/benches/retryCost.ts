import { setTimeout as sleep } from "node:timers/promises";
import { startFakeS3 } from "../../../packages/fake-s3/src/index.ts";
import type { Bench, Effort } from "../harness/bench.ts";
import type { Measured } from "../harness/report.ts";
import { openRig, promptsOf, type Rig, s3Env } from "../rig/rig.ts";
import { bodyOf } from "../rig/work.ts";

const LOAD = { inputBytes: 0, outputBytes: 300_000 };

/** What is wrong meanwhile; returns when it is mended. */
type Trouble = (rig: Rig, jobId: string) => Promise<void>;

/** Runs a job through a trouble to its webhook. @returns what its renders took beyond one, in shares of one */
async function extraRenders(rig: Rig, execMs: number, trouble: Trouble): Promise<number> {
  const { id } = await rig.system.submit(bodyOf(rig, LOAD));
  await trouble(rig, id);
  await rig.receiver.untilTold([id]);
  await rig.system.until(id, ({ status }) => status === "succeeded");
  const prompts = (await promptsOf(rig.system.instances[0])).filter(({ job }) => job === id);
  const renders = prompts.reduce((sum, { started }) => sum + started, 0);
  const busyMs = prompts.reduce((sum, prompt) => sum + prompt.busyMs, 0);
  return renders === 1 ? 0 : busyMs / execMs - 1;
}

async function run({ isQuick }: Effort): Promise<Measured> {
  const [execMs, outageMs] = isQuick ? [200, 300] : [2_000, 10_000];
  const credentials = { accessKeyId: "comfyq", secretAccessKey: "comfyq-secret" };
  await using s3 = await startFakeS3({ buckets: ["bench"], ...credentials });
  await using rig = await openRig({ hasS3: false, env: s3Env(s3.url), simulatorArgs: ["--exec-ms", String(execMs)] });
  const { receiver, system } = rig;
  const rendering = (id: string) => system.until(id, ({ stage }) => stage === "rendering");
  const troubles: Readonly<Record<string, Trouble>> = {
    s3_down: async (_, id) => {
      await rendering(id);
      s3.faults.add({ kind: "error", code: "InternalError", forMs: execMs + outageMs });
    },
    webhook_down: async () => {
      receiver.behave({ status: 500 });
      await sleep(execMs + outageMs / 2);
      receiver.behave({ status: 204 });
    },
    api_killed: async (_, id) => {
      await rendering(id);
      await system.api.stop("SIGKILL");
      await sleep(execMs / 2);
      await system.restartApi();
    },
  };
  const extra: Record<string, number> = {};
  for (const [name, trouble] of Object.entries(troubles)) extra[name] = await extraRenders(rig, execMs, trouble);
  return {
    checks: [{ name: "extra_renders", value: Math.max(...Object.values(extra)), atMost: 0 }],
    baseline: "one render",
    n: Object.keys(troubles).length,
    details: extra,
  };
}

export const retryCost: Bench = {
  id: "B12",
  what: "GPU time lost, in renders, when S3 is down for 10 s, the receiver answers 500, the API is killed",
  run,
};
