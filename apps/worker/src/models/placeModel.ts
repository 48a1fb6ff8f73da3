import { stat } from "node:fs/promises";
import { newId, sleep } from "@comfyq/runtime";
import type { Tools } from "../tools.ts";
import { installModel } from "./installModel.ts";
import { judgeWish, type Verdict } from "./judgeWish.ts";
import { factsOf, hashFile } from "./modelFiles.ts";
import type { FileFacts } from "./modelIndex.ts";
import { storeOf } from "./modelStore.ts";
import type { ModelCaller, ModelWish } from "./modelWish.ts";
import { type PlacedModel, type Placing, placed } from "./placing.ts";
import { resolveModelPath } from "./resolveModelPath.ts";

/** How often one who waits for another's download looks how far it is. */
const LOOK_MS = 500;

/**
 * Puts a model where ComfyUI finds it, unless it is there. Many may ask for the same one at once, in this process and in
 * others that share the folder: one downloads, the others wait. May be called ahead of the job, then `release` at once.
 * @throws JobError `models_unavailable` | `model_rejected` | `models_full`, `input_…` when its source fails; the signal's
 * reason
 */
export async function placeModel(wish: ModelWish, caller: ModelCaller, tools: Tools): Promise<PlacedModel> {
  const store = storeOf(tools);
  const at = await resolveModelPath(store.folder.dir, wish.place);
  const placing: Placing = { wish, caller, store, at };
  for (;;) {
    const step = await decide(placing);
    if (step.kind === "present") return placed(placing, step.use, step);
    if (step.kind === "unknown") await learnHash(placing, step.facts);
    else if (step.kind === "wait") await watchOther(placing, step.id);
    else {
      const installed = await installModel(placing, step, tools);
      if (installed) return installed;
    }
  }
}

type Step =
  | (Extract<Verdict, { kind: "present" }> & { readonly use: string })
  | Extract<Verdict, { kind: "unknown" | "wait" }>
  | (Extract<Verdict, { kind: "download" }> & { readonly id: string });

/** Decides what is to be done, and claims it in the same step. */
function decide({ wish, caller, store, at }: Placing): Promise<Step> {
  const { folder } = store;
  return folder.change(caller.signal, async ({ index, nowMs, save }): Promise<Step> => {
    const verdict = judgeWish(index, wish, { path: at.path, facts: await factsOf(at.file) });
    const [id, owner] = [newId(), folder.owner.id];
    switch (verdict.kind) {
      case "unknown":
      case "wait":
        return verdict;
      case "present": {
        index.uses[id] = { owner, path: at.path };
        const own = index.models[at.path];
        if (own) own.used_at_ms = nowMs;
        await save();
        return { ...verdict, use: id };
      }
      case "download":
        index.downloads[at.path] = { id, owner, reserved_bytes: 0 };
        await save();
        return { ...verdict, id };
      default:
        return verdict satisfies never;
    }
  });
}

/** An operator's file is hashed once, for the first job that pins its content. */
async function learnHash({ caller, store, at }: Placing, facts: FileFacts): Promise<void> {
  const sha256 = await hashFile(at.file, caller.signal);
  await store.folder.change(caller.signal, async ({ index, save }) => {
    index.seen[at.path] = { ...facts, sha256 };
    await save();
  });
}

async function watchOther({ caller, store, at }: Placing, id: string): Promise<void> {
  const { folder } = store;
  await sleep(LOOK_MS * folder.timeScale, caller.signal);
  const written = (await stat(folder.partFile(id)).catch(() => undefined))?.size;
  const reserved = (await folder.peek()).downloads[at.path]?.reserved_bytes;
  if (written !== undefined) caller.onProgress(written, reserved && reserved >= written ? reserved : undefined);
}
