import { parseArgs } from "node:util";
import type { Fault } from "./faults/Fault.ts";
import { parseFault } from "./faults/parseFault.ts";
import { SimulatorError } from "./SimulatorError.ts";
import type { SimulatorOptions } from "./SimulatorOptions.ts";

/** What the process was asked to do. */
export type Config =
  | { readonly kind: "help"; readonly text: string }
  | {
      readonly kind: "start";
      readonly options: SimulatorOptions;
      /** The process that must stay our parent, from COMFYQ_DIE_WITH_PARENT; undefined: any. */
      readonly parentPid: number | undefined;
    };

const FLAGS = {
  host: "address to listen on (127.0.0.1)",
  port: "port to listen on; 0 takes a free one (8188)",
  dir: "folder for input, output, temp and models (a new temporary one)",
  "models-directory": "folder of models, which several servers may share (models in that folder)",
  version: "ComfyUI version to be, from 0.3.64 on (0.33.0)",
  "exec-ms": "least time of one prompt, ms (0)",
  "step-ms": "one sampler step, ms (20)",
  "load-ms": "loading another model, ms (0)",
  speed: "divides all simulated times (1)",
  "gc-every-10s-ms": "pause of the worker every 10 s, ms (0)",
  "validate-ms": "how long validating a prompt blocks the server, ms (0)",
  "max-upload-bytes": "largest request body, bytes (104857600)",
  cache: "ram, classic or none (as the version does)",
  history: "file to which a line is added for whatever happens to a prompt (none)",
  "cloud-key": "speak as Comfy Cloud does, for whoever has this key (be a ComfyUI)",
  faults: "a JSON list of faults, see README.md",
} as const;

const SWITCHES = {
  "no-previews": "samplers send no previews unless the prompt asks for them",
  "no-sockets": "with --cloud-key: there is no websocket",
  "recorded-nodes": "use the toy nodes of the recordings",
  help: "show this",
} as const;

/** Reads the command line and the environment. @throws SimulatorError `bad_option` | `bad_fault` */
export function readConfig(): Config {
  const { values, switches } = parsedArguments();
  if (switches.has("help")) return { kind: "help", text: helpText() };
  const numbers = Object.fromEntries(
    (["port", "exec-ms", "step-ms", "load-ms", "speed", "gc-every-10s-ms", "validate-ms", "max-upload-bytes"] as const)
      .filter((flag) => values.get(flag) !== undefined)
      .map((flag) => [optionName(flag), toNumber(flag, values.get(flag) ?? "")]),
  );
  const texts = Object.fromEntries(
    ["host", "dir", "version"].filter((flag) => values.get(flag) !== undefined).map((flag) => [flag, values.get(flag)]),
  );
  const historyFile = values.get("history");
  const cloudKey = values.get("cloud-key");
  const modelsDir = values.get("models-directory");
  const cache = (["ram", "classic", "none"] as const).find((mode) => mode === values.get("cache"));
  if (values.get("cache") !== undefined && !cache) throw wrong("cache", "ram, classic or none");
  const parent = process.env["COMFYQ_DIE_WITH_PARENT"];
  return {
    kind: "start",
    parentPid: parent === undefined || parent === "" ? undefined : parent === "1" ? process.ppid : Number(parent),
    options: {
      port: 8188,
      ...numbers,
      ...texts,
      ...(cache ? { cache } : {}),
      ...(historyFile === undefined ? {} : { historyFile }),
      ...(modelsDir === undefined ? {} : { modelsDir }),
      ...(cloudKey === undefined ? {} : { cloud: { apiKey: cloudKey, sockets: !switches.has("no-sockets") } }),
      previews: !switches.has("no-previews"),
      recordedNodes: switches.has("recorded-nodes"),
      faults: toFaults(values.get("faults") ?? "[]"),
      argv: ["main.py", ...process.argv.slice(2)],
    },
  };
}

function parsedArguments(): { values: Map<string, string>; switches: Set<string> } {
  const options = Object.fromEntries([
    ...Object.keys(FLAGS).map((flag) => [flag, { type: "string" as const }]),
    ...Object.keys(SWITCHES).map((flag) => [flag, { type: "boolean" as const }]),
  ]);
  try {
    const { values } = parseArgs({ args: process.argv.slice(2), options, strict: true });
    const entries = Object.entries(values);
    return {
      values: new Map(entries.flatMap(([flag, value]) => (typeof value === "string" ? [[flag, value]] : []))),
      switches: new Set(entries.flatMap(([flag, value]) => (value === true ? [flag] : []))),
    };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SimulatorError("bad_option", `${why}\n\n${helpText()}`, { cause });
  }
}

/** `gc-every-10s-ms` → `gcEvery10sMs`. */
const optionName = (flag: string): string => flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

function toNumber(flag: string, text: string): number {
  const number = Number(text);
  if (text.trim() === "" || Number.isNaN(number)) throw wrong(flag, "a number");
  return number;
}

function toFaults(text: string): Fault[] {
  try {
    const faults: unknown = JSON.parse(text);
    return (Array.isArray(faults) ? faults : [faults]).map(parseFault);
  } catch (cause) {
    if (cause instanceof SimulatorError) throw cause;
    throw new SimulatorError("bad_option", '--faults must be JSON, such as \'[{"kind":"oom_next"}]\'.', { cause });
  }
}

const wrong = (flag: string, what: string): SimulatorError =>
  new SimulatorError("bad_option", `--${flag} must be ${what}.`);

function helpText(): string {
  const lines = [
    ...Object.entries(FLAGS).map(([flag, text]) => [`--${flag} <value>`, text]),
    ...Object.entries(SWITCHES).map(([flag, text]) => [`--${flag}`, text]),
  ];
  return ["A ComfyUI without a GPU.", "", ...lines.map(([flag = "", text = ""]) => `  ${flag.padEnd(28)}${text}`)].join(
    "\n",
  );
}
