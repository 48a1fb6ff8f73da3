import { newId } from "@comfyq/runtime";
import type { Tools } from "../tools.ts";
import { storeOf } from "./modelStore.ts";
import type { ModelWish } from "./modelWish.ts";
import { type PlacedModel, placed } from "./placing.ts";
import { resolveModelPath } from "./resolveModelPath.ts";

/**
 * Keeps a model that is there from being evicted, for a prompt that runs already.
 * @returns undefined when it is gone, or none of ours and so never evicted
 */
export async function holdModel(wish: ModelWish, signal: AbortSignal, tools: Tools): Promise<PlacedModel | undefined> {
  const store = storeOf(tools);
  const at = await resolveModelPath(store.folder.dir, wish.place);
  const use = newId();
  return store.folder.change(signal, async ({ index, save }) => {
    const own = index.models[at.path];
    if (!own) return undefined;
    index.uses[use] = { owner: store.folder.owner.id, path: at.path };
    await save();
    return placed({ at, store }, use, { content: own.sha256, hasPast: false });
  });
}
