import type { ModelLists } from "@comfyq/contract";
import type { Turnstile } from "@comfyq/media";
import type { FleetInfo } from "./fleetObjectInfo.ts";
import type { AskPool } from "./toldFacts.ts";
import type { UploadShelf } from "./uploadShelf.ts";

/** What the routes of this door share. */
export interface ComfyTools {
  readonly objectInfo: AskPool<FleetInfo>;
  readonly models: AskPool<ModelLists>;
  readonly uploads: UploadShelf;
  /** Decoded pictures are large: one at a time in this process. */
  readonly pictures: Turnstile;
}
