import type { Manifest, Workflow } from "@comfyq/contract";
import { failPoint, monotonicMs } from "@comfyq/runtime";
import type { Tools } from "../tools.ts";
import { type AttemptRun, historyOf, type StepTimes } from "./attempt.ts";
import { findManifest } from "./findManifest.ts";
import { placeInputs } from "./placeInputs.ts";
import { holdModels, placeModels } from "./placeModels.ts";
import { renderPrompt } from "./renderPrompt.ts";
import { sealManifest } from "./sealManifest.ts";
import { shareResult } from "./shareResult.ts";
import { storeOutputs } from "./storeOutputs.ts";
import { submitOrRejoin } from "./submitOrRejoin.ts";
import { weighOutputs } from "./weighOutputs.ts";

/**
 * One try at a job, from its inputs to its sealed manifest. Every step can be killed and found again by the next attempt.
 * @throws SharedResult; JobError, ComfyError, StorageError or the signal's reason; toJobError.ts tells them apart
 */
export async function runAttempt(run: AttemptRun, tools: Tools): Promise<Manifest> {
  const { job, times } = run;
  await failPoint("claimed", historyOf(run));
  const sealed = job.epoch === 1 ? undefined : await findManifest(run, tools);
  if (sealed) return sealed; // a killed worker may have finished but not said so
  const prepare = () => timed(times, "prepareMs", () => prepareGraph(run, tools));
  const prompt = await submitOrRejoin(run, prepare, tools); // ...or have left its prompt running
  await holdModels(run, tools);
  // A Redis that fell back to what it was a moment ago has forgotten attempts, and counts them from 1 again.
  const forgotten = job.epoch === 1 ? findManifest(run, tools) : undefined;
  const rendered = await timed(times, "renderMs", () => renderPrompt(run, prompt, tools));
  run.leaveGpu(); // the next job may render while we store
  await run.untilNextBegins();
  void weighOutputs(run, rendered, tools);
  await job.journal({ stage: "storing", prepare_ms: times.prepareMs, render_ms: times.renderMs });
  const before = await forgotten;
  if (before) return before;
  const outputs = await timed(times, "storeMs", () => storeOutputs(run, rendered, tools));
  return sealManifest(run, outputs, tools); // written last: no manifest, no success
}

/** @throws SharedResult when nothing has to be rendered for it here */
async function prepareGraph(run: AttemptRun, tools: Tools): Promise<Workflow> {
  await placeModels(run, tools);
  const { workflow, hashes } = await placeInputs(run, tools);
  await shareResult(run, hashes, tools);
  return workflow;
}

async function timed<T>(times: StepTimes, step: keyof StepTimes, work: () => Promise<T>): Promise<T> {
  const startedAtMs = monotonicMs();
  try {
    return await work();
  } finally {
    times[step] = Math.round(monotonicMs() - startedAtMs);
  }
}
