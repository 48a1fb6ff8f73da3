import type { ComfyUi } from "@comfyq/comfyui";
import type { Logger, SafeFetch } from "@comfyq/runtime";
import type { Storage } from "@comfyq/storage";
import type { WorkerConfig } from "./config.ts";

/** What every step of an attempt works with; built once in main.ts and handed down. */
export interface Tools {
  readonly config: WorkerConfig;
  readonly comfyui: ComfyUi;
  readonly store: Storage;
  readonly fetchInput: SafeFetch;
  readonly log: Logger;
}
