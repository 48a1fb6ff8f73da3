import { attemptPrefix, type Manifest, manifestKey, toMoment } from "@comfyq/contract";
import { failPoint, nowMs } from "@comfyq/runtime";
import type { Tools } from "../tools.ts";
import { type AttemptRun, historyOf } from "./attempt.ts";
import { readManifest } from "./findManifest.ts";
import type { StoredOutputs } from "./storeOutputs.ts";
import { untilStored } from "./untilStored.ts";

/**
 * Puts the manifest, unless somebody has: the first to seal wins, and everybody returns the winner's. The loser's files
 * are removed; nobody lists them.
 */
export async function sealManifest(run: AttemptRun, outputs: StoredOutputs, tools: Tools): Promise<Manifest> {
  const { job, signal } = run;
  const mine: Manifest = {
    v: 1,
    job_id: job.id,
    epoch: job.epoch,
    prompt_id: run.promptId ?? "",
    instance: run.instance,
    sealed_at: toMoment(nowMs()),
    cached: false,
    metrics: { prepare_ms: run.times.prepareMs, render_ms: run.times.renderMs, store_ms: run.times.storeMs },
    outputs: [...outputs],
  };
  await failPoint("outputs_stored", historyOf(run));
  const sealed = await untilStored(run, tools, () =>
    tools.store.putIfAbsent(manifestKey(job.id), JSON.stringify(mine), { contentType: "application/json", signal }),
  );
  // After a lost connection "there is one" may be our own (storage.ts): only reading it tells.
  const winner = sealed.created ? mine : ((await untilStored(run, tools, () => readManifest(run, tools))) ?? mine);
  await failPoint("sealed", historyOf(run, { won: winner.epoch === job.epoch }));
  if (winner.epoch !== job.epoch) await tools.store.removePrefix(attemptPrefix(job.id, job.epoch, job.head.output));
  return winner;
}
