import { realpath } from "node:fs/promises";
import { resolve } from "node:path";
import { createSafeFetch, type SafeFetch } from "@comfyq/runtime";
import type { WorkerConfig } from "../config.ts";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { ownBytes } from "./makeRoom.ts";
import { openStoreFolder, type StoreFolder } from "./storeFolder.ts";

/** Longest silence of a model's source. */
const IDLE_MS = 60_000;

/** What has been done since this process began. */
interface Counts {
  downloadedBytes: number;
  downloads: number;
  evictions: number;
}

/** The models folder of this worker's ComfyUI. */
export interface ModelStore {
  readonly folder: StoreFolder;
  /** Guarded like every fetch, with limits of its own. */
  readonly fetch: SafeFetch;
  readonly budgetBytes: number | undefined;
  readonly counts: Counts;
  /** Which content of each path this worker's ComfyUI was last given; only what this process has seen. */
  readonly contents: Map<string, string>;
  /** Bytes of models that comfyq put there, those under way included. */
  sizeBytes(): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens the models folder; undefined when the operator has given none.
 * @throws Error when it is no folder that can be written to
 */
export async function openModelStore(config: WorkerConfig): Promise<ModelStore | undefined> {
  if (config.COMFYUI_MODELS_DIR === undefined) return undefined;
  const folder = await openFolder(config.COMFYUI_MODELS_DIR, config.timeScale);
  return {
    folder,
    fetch: createSafeFetch({
      allowHosts: config.COMFYQ_ALLOW_HOSTS,
      maxBytes: Number.MAX_SAFE_INTEGER, // COMFYQ_MAX_MODEL_BYTES is kept where bytes of every source are
      timeoutMs: config.COMFYQ_MODEL_TIMEOUT_S * 1_000,
      idleTimeoutMs: IDLE_MS,
    }),
    budgetBytes: config.COMFYQ_MODELS_BUDGET_BYTES,
    contents: new Map(),
    counts: { downloadedBytes: 0, downloads: 0, evictions: 0 },
    sizeBytes: async () => ownBytes(await folder.peek()),
    close: () => folder.close(),
  };
}

async function openFolder(dir: string, timeScale: number): Promise<StoreFolder> {
  try {
    return await openStoreFolder(await realpath(resolve(dir)), timeScale);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `COMFYUI_MODELS_DIR (${dir}) cannot be written to: ${why}; it must be the models folder that ComfyUI reads`,
      { cause },
    );
  }
}

/** @throws JobError `models_unavailable` when this worker has no models folder */
export function storeOf({ models }: Pick<Tools, "models">): ModelStore {
  if (models) return models;
  throw new JobError(
    "models_unavailable",
    "This worker has no access to its ComfyUI's models folder; set COMFYUI_MODELS_DIR, or put the models there by hand",
  );
}
