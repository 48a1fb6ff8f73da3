import type { ModelStore } from "./modelStore.ts";
import type { ModelCaller, ModelWish } from "./modelWish.ts";
import type { ModelPath } from "./resolveModelPath.ts";

/** One wish on its way to its place. */
export interface Placing {
  readonly wish: ModelWish;
  readonly caller: ModelCaller;
  readonly store: ModelStore;
  readonly at: ModelPath;
}

/** A model that is where the job wants it, and stays there until it is let go. */
export interface PlacedModel {
  /** Below the models folder. */
  readonly path: string;
  /** Names the content: another content under the same name has another. */
  readonly content: string;
  /** This name had another content before, which ComfyUI may still have in memory. */
  readonly hasPast: boolean;
  /** From now on it may be evicted. Never rejects, safe to repeat. */
  release(): Promise<void>;
}

/** Stands for a use that is in the index. */
export function placed(
  { at, store }: Pick<Placing, "at" | "store">,
  use: string,
  facts: Pick<PlacedModel, "content" | "hasPast">,
): PlacedModel {
  const { folder } = store;
  const forget = () =>
    folder.change(new AbortController().signal, async ({ index, save }) => {
      if (!(use in index.uses)) return;
      delete index.uses[use];
      await save();
    });
  const { content, hasPast } = facts;
  return { path: at.path, content, hasPast, release: () => forget().catch(() => {}) }; // a folder that is away: it ends with its owner
}
