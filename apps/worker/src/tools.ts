import type { ComfyUi } from "@comfyq/comfyui";
import type { WorkerBeat } from "@comfyq/contract";
import type { Turnstile } from "@comfyq/media";
import type { Logger, SafeFetch, SecretBox } from "@comfyq/runtime";
import type { Storage } from "@comfyq/storage";
import type { WorkerConfig } from "./config.ts";
import type { Credentials } from "./inputs/credentials.ts";
import type { Inputs } from "./inputs/inputs.ts";
import type { Instance } from "./instance/instance.ts";
import type { StallPatience } from "./instance/stallPatience.ts";
import type { ModelStore } from "./models/modelStore.ts";

/** What every step of an attempt works with; built once in main.ts and handed down. */
export interface Tools {
  readonly config: WorkerConfig;
  readonly comfyui: ComfyUi;
  readonly instance: Instance;
  readonly patience: StallPatience;
  readonly store: Storage;
  /** Decoded pictures are large: one at a time in this process. */
  readonly pictures: Turnstile;
  readonly fetchInput: SafeFetch;
  /** For private sources. */
  readonly credentials: Credentials;
  readonly inputs: Inputs;
  /** Opens the secrets of jobs. */
  readonly secretBox: SecretBox;
  /** Undefined when the operator has given no models folder. */
  readonly models: ModelStore | undefined;
  /** The other live workers of the pool. */
  readonly neighbours: () => Promise<readonly WorkerBeat[]>;
  readonly log: Logger;
}
