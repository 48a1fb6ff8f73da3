import type { ComfyUi } from "@comfyq/comfyui";
import { monotonicMs } from "@comfyq/runtime";
import { orAborted } from "../orAborted.ts";

/** Where our uploads stand in ComfyUI's input folder; named by content, so equal bytes are one file. */
export const UPLOAD_FOLDER = "comfyq";
/** What was seen there so long ago is asked for again: people tidy up. */
const SURE_FOR_MS = 60_000;
/** Names that are remembered, the oldest are forgotten first. A forgotten one costs one question. */
const MOST_REMEMBERED = 10_000;

/** Bytes that a graph can name. */
export interface Content {
  /** Its sha256 with an extension, as ComfyUI's loaders want one. */
  readonly name: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** What stands in the input folder of this instance, as far as it is known. */
export interface Shelf {
  /** The name by which a graph has it, when it is surely there; asks nobody. */
  nameOf(content: Content): string | undefined;
  /**
   * Sees to it that it is there: asks the instance when that is not known, and has it brought when it is not there. Those who
   * want the same at the same time wait for one of them.
   * @param bring uploads it; returns the name that the instance gave it
   * @throws what `bring` throws; the signal's reason
   */
  place(content: Content, bring: () => Promise<string>, signal: AbortSignal): Promise<string>;
  /** The instance says that it has no such file. @returns false when nothing of that name was placed by us */
  forget(name: string): boolean;
  /** It was away: what it has now has to be asked again. */
  forgetAll(): void;
}

interface Placed {
  readonly name: string;
  readonly atMs: number;
}

/** Knows nothing yet, but the instance may remember: what an earlier worker uploaded is found there. */
export function createShelf(comfyui: Pick<ComfyUi, "sizeOf">): Shelf {
  return new InstanceShelf(comfyui);
}

class InstanceShelf implements Shelf {
  readonly #comfyui: Pick<ComfyUi, "sizeOf">;
  readonly #underWay = new Map<string, Promise<unknown>>();
  #placed = new Map<string, Placed>();

  constructor(comfyui: Pick<ComfyUi, "sizeOf">) {
    this.#comfyui = comfyui;
  }

  nameOf({ name }: Content): string | undefined {
    const placed = this.#placed.get(name);
    return placed && monotonicMs() - placed.atMs < SURE_FOR_MS ? placed.name : undefined;
  }

  async place(content: Content, bring: () => Promise<string>, signal: AbortSignal): Promise<string> {
    for (;;) {
      signal.throwIfAborted();
      const known = this.nameOf(content);
      if (known !== undefined) return known;
      const other = this.#underWay.get(content.name);
      if (!other) break;
      await orAborted(other, signal); // one that fails is another's failure: then we try
    }
    const work = this.#placeNow(content, bring, signal);
    const settled = work.catch(() => {}).then(() => this.#underWay.delete(content.name));
    this.#underWay.set(content.name, settled);
    return work;
  }

  forget(name: string): boolean {
    const key = [...this.#placed].find(([, placed]) => placed.name === name)?.[0];
    return key !== undefined && this.#placed.delete(key);
  }

  forgetAll(): void {
    this.#placed = new Map();
  }

  async #placeNow(content: Content, bring: () => Promise<string>, signal: AbortSignal): Promise<string> {
    const placed = this.#placed; // what is found out about an instance that was away meanwhile is worth nothing
    const found = await this.#find(
      placed.get(content.name)?.name ?? `${UPLOAD_FOLDER}/${content.name}`,
      content,
      signal,
    );
    const name = found ?? (await bring());
    placed.delete(content.name); // put last: the oldest go first
    placed.set(content.name, { name, atMs: monotonicMs() });
    for (const oldest of placed.keys()) {
      if (placed.size <= MOST_REMEMBERED) break;
      placed.delete(oldest);
    }
    return name;
  }

  /** An instance that cannot be asked is found out by the upload, which has patience. */
  async #find(name: string, { sizeBytes }: Content, signal: AbortSignal): Promise<string | undefined> {
    const file = { filename: name, type: "input" } as const;
    const foundBytes = await this.#comfyui.sizeOf(file, { signal }).catch(() => undefined);
    signal.throwIfAborted();
    return foundBytes === sizeBytes ? name : undefined;
  }
}
