import { attemptPrefix, type Manifest, manifestKey, toMoment } from "@comfyq/contract";
import { failPoint, nowMs } from "@comfyq/runtime";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import { readManifest } from "./findManifest.ts";
import type { StoredOutputs } from "./storeOutputs.ts";
import { untilStored } from "./untilStored.ts";

/**
 * Puts the manifest, unless somebody has: the first to seal wins, and everybody returns the winner's. The loser's files
 * are removed; nobody lists them.
 */
export async function sealManifest(run: AttemptRun, outputs: StoredOutputs, tools: Tools): Promise<Manifest> {
  const { job } = run;
  const mine: Manifest = {
    v: 1,
    job_id: job.id,
    epoch: job.epoch,
    prompt_id: run.promptId ?? "",
    instance: tools.config.instanceName,
    sealed_at: toMoment(nowMs()),
    cached: false,
    metrics: { prepare_ms: run.times.prepareMs, render_ms: run.times.renderMs, store_ms: run.times.storeMs },
    outputs: [...outputs],
  };
  await failPoint("outputs_stored");
  const sealed = await untilStored(run, tools, () =>
    tools.store.putIfAbsent(manifestKey(job.id), JSON.stringify(mine), { contentType: "application/json" }),
  );
  await failPoint("sealed");
  if (sealed.created) return mine;
  const winner = await untilStored(run, tools, () => readManifest(job.id, tools.store));
  if (winner && winner.epoch !== job.epoch) await tools.store.removePrefix(attemptPrefix(job.id, job.epoch));
  return winner ?? mine;
}
