import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock, type SimulatorClock } from "./clock.ts";
import type { CloudOptions } from "./cloud/Cloud.ts";
import type { CacheMode } from "./engine/ResultCache.ts";
import type { Fault } from "./faults/Fault.ts";
import { BUNDLED_MODELS } from "./files/bundledModels.ts";
import type { NodeClass } from "./nodes/NodeClass.ts";
import { SimulatorError } from "./SimulatorError.ts";
import { profileOf } from "./versions.ts";

/** How to start a simulator. Everything has a default; all times are in ms. */
export interface SimulatorOptions {
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string;
  /** Port to listen on; 0, the default, takes a free one. */
  readonly port?: number;
  /** Folder for `input`, `output`, `temp`, `models`, `user`. Default: a new temporary one, removed when it closes. */
  readonly dir?: string;
  /** Folder of models, which several servers may share (`--models-directory`). Default: `models` in `dir`. */
  readonly modelsDir?: string;
  /** ComfyUI's version, from 0.3.64 on. Default 0.33.0. */
  readonly version?: string;
  /** Least time from `execution_start` to `execution_success` of a prompt that makes something. Default 0. */
  readonly execMs?: number;
  /** One sampler step. Default 20. */
  readonly stepMs?: number;
  /** Loading a model other than the one that is loaded. Default 0. */
  readonly loadMs?: number;
  /** Divides all simulated times. Default 1. */
  readonly speed?: number;
  /** Pause of the worker after a prompt, when the last one was 10 s ago (benchmarks: 90). Default 0. */
  readonly gcEvery10sMs?: number;
  /** How long the validation of a prompt blocks the whole server. Default 0. */
  readonly validateMs?: number;
  /** Whether samplers send previews, unless the prompt says otherwise. Default true. */
  readonly previews?: boolean;
  /** Largest body of a request, in bytes. Default 100 MiB. */
  readonly maxUploadBytes?: number;
  /** Which results are kept. Default: as the version does (`ram` from 0.22.0 on, else `classic`). */
  readonly cache?: CacheMode;
  /** Model names to offer instead of the bundled ones, by folder kind. Files in `models` are offered in any case. */
  readonly models?: Readonly<Record<string, readonly string[]>>;
  /** More node classes, or others in place of existing ones. */
  readonly nodes?: readonly NodeClass[];
  /** Use the toy nodes of the recordings in place of core nodes of the same name. Default false. */
  readonly recordedNodes?: boolean;
  /** What shall go wrong from the start. */
  readonly faults?: readonly Fault[];
  /** What `/system_stats` says the server was started with. */
  readonly argv?: readonly string[];
  /** File to which a line is added for whatever happens to a prompt. Default: none. */
  readonly historyFile?: string;
  /** Speak as Comfy Cloud does, for whoever has this key. Default: be a ComfyUI. */
  readonly cloud?: CloudOptions;
  /** Called when a fault crashes the server. Default: the port closes and all connections break off. */
  readonly onCrash?: () => void;
  readonly clock?: SimulatorClock;
}

/** {@link SimulatorOptions} with everything decided, except what depends on the version. */
export type ResolvedOptions = Required<
  Omit<SimulatorOptions, "cache" | "cloud" | "historyFile" | "modelsDir" | "onCrash">
> & {
  readonly cache: CacheMode | undefined;
  readonly cloud: CloudOptions | undefined;
  /** The folder was made for this simulator alone. */
  readonly isDirTemporary: boolean;
  readonly historyFile: string | undefined;
  readonly modelsDir: string | undefined;
  readonly onCrash: (() => void) | undefined;
};

/** @throws SimulatorError `bad_option` which names the option */
export function resolveOptions(options: SimulatorOptions): ResolvedOptions {
  if (options.version !== undefined) profileOf(options.version); // before a folder is made
  const resolved: ResolvedOptions = {
    host: "127.0.0.1",
    port: 0,
    version: "0.33.0",
    execMs: 0,
    stepMs: 20,
    loadMs: 0,
    speed: 1,
    gcEvery10sMs: 0,
    validateMs: 0,
    previews: true,
    maxUploadBytes: 100 * 1024 * 1024,
    models: BUNDLED_MODELS,
    nodes: [],
    recordedNodes: false,
    faults: [],
    argv: ["main.py"],
    clock: realClock,
    ...options,
    cache: options.cache,
    cloud: options.cloud,
    historyFile: options.historyFile,
    modelsDir: options.modelsDir,
    onCrash: options.onCrash,
    isDirTemporary: options.dir === undefined,
    dir: options.dir ?? mkdtempSync(join(tmpdir(), "comfyq-simulator-")),
  };
  for (const name of ["execMs", "stepMs", "loadMs", "gcEvery10sMs", "validateMs"] as const) {
    if (!(resolved[name] >= 0)) throw wrong(name, "0 or more");
  }
  if (!(resolved.speed > 0)) throw wrong("speed", "more than 0");
  return resolved;
}

const wrong = (name: string, bound: string): SimulatorError =>
  new SimulatorError("bad_option", `The simulator's option ${name} must be a number, ${bound}.`);
