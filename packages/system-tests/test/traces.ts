import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Attempt, type Job, jobPrefix, Manifest, manifestKey } from "@comfyq/contract";
import { expect, vi } from "vitest";
import type { Running } from "./processes.ts";
import { type HistoryLine, isFinished, readJson, type System } from "./setup.ts";

/** One prompt of a job, as the ComfyUI that got it counts it. */
export interface SeenPrompt {
  readonly instance: string;
  readonly promptId: string;
  readonly epoch: number;
  /** How often it was accepted; how often it began to run. */
  readonly submitted: number;
  readonly started: number;
  /** What it cost of the GPU. */
  readonly busyMs: number;
  readonly outcome?: "success" | "error" | "interrupted" | "lost";
}

interface Stats {
  readonly prompts: readonly (SeenPrompt & { readonly job?: string })[];
}

/** What all simulators that are up have seen of one job. */
export async function promptsOf({ instances }: System, jobId: string): Promise<readonly SeenPrompt[]> {
  const seen = await Promise.all(
    instances.map(async (instance) => {
      const answer = await fetch(`${instance}/simulator/stats`).catch(() => undefined);
      if (!answer) return [];
      const { prompts } = await readJson<Stats>(answer);
      return prompts.filter(({ job }) => job === jobId).map((prompt) => ({ ...prompt, instance }));
    }),
  );
  return seen.flat();
}

/** GPU time that went into prompts of this job other than the one whose results it has, in ms. */
export async function lostGpuMs(system: System, jobId: string): Promise<number> {
  const { prompt_id } = await manifestOf(system, jobId);
  const wasted = (await promptsOf(system, jobId)).filter(({ promptId }) => promptId !== prompt_id);
  return wasted.reduce((sum, { busyMs }) => sum + busyMs, 0);
}

/** Ids of the prompts that one ComfyUI runs or has waiting; none while it is down. */
export async function standingAt(instance: string): Promise<readonly string[]> {
  const answer = await fetch(`${instance}/queue`).catch(() => undefined);
  if (!answer) return [];
  const queue = await readJson<Record<"queue_running" | "queue_pending", [number, string][]>>(answer);
  return [...queue.queue_running, ...queue.queue_pending].map(([, promptId]) => promptId);
}

/** Waits until no ComfyUI runs or has waiting anything. */
export async function untilAllQuiet({ instances }: System): Promise<void> {
  await vi.waitFor(async () => expect((await Promise.all(instances.map(standingAt))).flat()).toEqual([]), 30_000);
}

export async function attemptsOf(system: System, jobId: string): Promise<readonly Attempt[]> {
  return (await readJson<{ attempts: Attempt[] }>(system.get(`/v1/jobs/${jobId}/attempts`))).attempts;
}

/** The sealed manifest, from the folder store. */
export async function manifestOf({ dataDir }: System, jobId: string): Promise<Manifest> {
  return Manifest.parse(JSON.parse(await readFile(join(dataDir, "files", manifestKey(jobId)), "utf8")));
}

/** The history of one job, oldest line first. */
export async function historyOf(system: System, jobId: string): Promise<readonly HistoryLine[]> {
  return (await system.history()).filter(({ job }) => job === jobId).toSorted((a, b) => a.t - b.t);
}

/**
 * Waits for the job's success and holds it against the promises: ended once (I2), told once (I3, when it has a webhook), one
 * manifest, whose files are there and are what it says (I5, I6), and no prompt of it left anywhere (I4).
 */
export async function expectOneSuccess(system: System, jobId: string): Promise<Job> {
  const job = await system.until(jobId, isFinished);
  expect(job).toMatchObject({ status: "succeeded", error: null });
  const files = await readdir(join(system.dataDir, "files", jobPrefix(jobId)), { recursive: true });
  expect(files.filter((file) => file.includes("manifest"))).toEqual(["manifest.json"]);
  for (const output of (await manifestOf(system, jobId)).outputs) {
    if (!("key" in output)) continue;
    const bytes = await readFile(join(system.dataDir, "files", output.key));
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(output.sha256);
    expect(bytes.length).toBe(output.size_bytes);
  }
  const endings = async () =>
    (await historyOf(system, jobId)).filter(
      ({ op, ended, outcome }) =>
        op === "settled" && ended === true && (outcome === "succeeded" || outcome === "failed"),
    );
  await vi.waitFor(async () => expect(await endings()).toHaveLength(1), { timeout: 10_000 }); // noted a moment after customers see it
  const seen = await promptsOf(system, jobId);
  const standing = (await Promise.all(system.instances.map(standingAt))).flat();
  expect(standing.filter((promptId) => seen.some((prompt) => prompt.promptId === promptId))).toEqual([]);
  return job;
}

/** No prompt of a job began to stand in any ComfyUI's queue before the one before it had left (I4, I11). */
export async function expectOneAtATime(system: System, jobId: string): Promise<void> {
  let standing: string | undefined;
  for (const { op, prompt } of await historyOf(system, jobId)) {
    if (op === "queued") {
      expect(standing).toBeUndefined();
      standing = prompt;
    }
    if ((op === "ended" || op === "removed") && prompt === standing) standing = undefined;
  }
}

/** Waits for the end of a process that shall die of this job. @returns its exit code; null when a signal ended it */
export async function untilDead(system: System, doomed: Running, jobId: string): Promise<number | null> {
  const patience = new AbortController();
  const alive = sleep(30_000, undefined, { signal: patience.signal }).then(async () => {
    throw new Error(`it lives; its job: ${JSON.stringify(await system.read(jobId))}\n${doomed.log()}`);
  });
  const code = await Promise.race([doomed.ended(), alive]);
  alive.catch(() => {}); // nobody waits for it any more
  patience.abort();
  return code;
}

/** Waits for the one telling of a job's end; there is no other one, and its signature is right. */
export async function expectToldOnce({ sink }: System, jobId: string, type: string): Promise<void> {
  await vi.waitFor(() => expect(sink.received(jobId).length).toBeGreaterThan(0), 20_000);
  expect(sink.received(jobId)).toMatchObject([{ event: { type }, isGenuine: true }]);
}
