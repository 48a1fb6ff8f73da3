import type { BinaryFrame } from "@comfyq/comfyui/wire";
import type { SimulatorClock } from "../clock.ts";
import type { FaultBoard } from "../faults/FaultBoard.ts";
import type { Folders } from "../files/Folders.ts";
import type { NodeRegistry } from "../nodes/NodeRegistry.ts";
import type { Stats } from "../Stats.ts";
import type { VersionProfile } from "../versions.ts";
import type { CacheMode } from "./ResultCache.ts";

/** Where the engine's frames go. Without an addressee everybody gets them; an unknown addressee gets nothing. */
export interface FrameSink {
  readonly send: (type: string, data: unknown, to?: unknown) => void;
  readonly sendBinary: (frame: BinaryFrame, to?: unknown) => void;
  /** Whether a frame to this addressee would reach anybody. */
  readonly hasListener: (to: unknown) => boolean;
  readonly knowsPreviewMetadata: (clientId: unknown) => boolean;
}

/** How long things take and which previews there are. All times are simulated ms, divided by `speed`. */
interface EngineSettings {
  /** Least time from `execution_start` to `execution_success` of a prompt that has an output to make. */
  readonly execMs: number;
  /** One step of a sampler. */
  readonly stepMs: number;
  /** Loading a model that is not in the (one) place for a model. */
  readonly loadMs: number;
  readonly speed: number;
  /** How long the worker collects garbage after a prompt, when it last did 10 s ago. */
  readonly gcEvery10sMs: number;
  /** Like `--preview-method`: whether samplers send previews. */
  readonly previews: boolean;
  readonly cache: CacheMode;
}

/** What stays when the server restarts. */
export interface EngineParts {
  readonly profile: VersionProfile;
  readonly clock: SimulatorClock;
  readonly folders: Folders;
  readonly nodes: NodeRegistry;
  readonly faults: FaultBoard;
  readonly stats: Stats;
  readonly frames: FrameSink;
  readonly settings: EngineSettings;
}
