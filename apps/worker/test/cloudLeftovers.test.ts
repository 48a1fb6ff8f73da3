import { randomUUID } from "node:crypto";
import { connectComfyUi } from "@comfyq/comfyui";
import { startSimulator } from "@comfyq/comfyui-simulator";
import type { Standing } from "@comfyq/queue";
import { expect, onTestFinished, test } from "vitest";
import { realPromptId } from "../src/attempt/realPromptId.ts";
import { stopEnded } from "../src/instance/cloudLeftovers.ts";

const never = new AbortController().signal;

async function setup() {
  const simulator = await startSimulator({ cloud: { apiKey: "k" } });
  onTestFinished(() => simulator.close());
  const comfyui = connectComfyUi({ url: simulator.url, apiKey: "k", dialect: "cloud", pollMs: 20 });
  onTestFinished(() => comfyui.close());
  /** Sends what an attempt would send, and notes nothing of the answer. */
  const leave = async (jobId: string, epoch: number, prefix = `comfyq/${jobId}-${epoch}/a`) => {
    const workflow = {
      "1": { class_type: "SimSleep", inputs: { ms: 60_000, steps: 600, value: randomUUID() } },
      "2": { class_type: "SimOutput", inputs: { input: ["1", 0], bytes: 5_000, seed: 1, filename_prefix: prefix } },
    };
    const extraData = { comfyq: { job_id: jobId, epoch } };
    return (await comfyui.submit({ promptId: randomUUID(), workflow, extraData })).promptId;
  };
  return { comfyui, leave };
}

test("of a cloud's queue only prompts whose job has ended are stopped: others are somebody's, and strangers' jobs unknown", async () => {
  const { comfyui, leave } = await setup();
  const kinds = ["ended", "waiting", "held", "unknown"] as const;
  const jobs = kinds.map((kind) => ({ kind, id: randomUUID() }));
  const standing = async (id: string): Promise<Standing> => {
    const kind = jobs.find((job) => job.id === id)?.kind ?? "unknown";
    return kind === "held" ? { kind, epoch: 9 } : { kind };
  };
  const left: string[] = [];
  for (const { id } of jobs) left.push(await leave(id, 1));
  left.push(await leave(randomUUID(), 1, "mine/a"));
  await stopEnded({ comfyui, instance: "i", standing, signal: never });
  const found = await Promise.all(left.map(async (id) => (await comfyui.find(id)).kind));
  expect(found[0]).toBe("finished");
  expect(found.slice(1).every((kind) => kind === "running" || kind === "pending")).toBe(true);
});

test("a prompt whose id was never noted is known by its marks, and only by those of its own attempt", async () => {
  const { comfyui, leave } = await setup();
  const jobId = randomUUID();
  const [first, second] = [await leave(jobId, 1), await leave(jobId, 2)];
  const idOf = (epoch: number, promptId: string) => realPromptId(comfyui, { jobId, epoch, promptId }, never);
  const asked = randomUUID();
  expect([await idOf(1, asked), await idOf(2, asked), await idOf(3, asked)]).toEqual([first, second, asked]);
  expect(await idOf(1, second)).toBe(second); // what is known is not looked for
  await comfyui.cancel(first, { deadlineMs: 5_000 });
  expect(await idOf(1, asked)).toBe(first); // ended
});
