import type { z } from "zod";
import { describeEnv, type EnvEntry, envTable } from "./describeEnv.ts";
import { hideValue } from "./hiddenValues.ts";
import { stripUrl } from "./stripUrl.ts";

/** One thing that is wrong with the environment. */
export interface EnvMistake {
  /** Name of the variable, or of the flag when it was given as one. */
  readonly name: string;
  /** What was given, as it may be shown: absent when nothing was; `(not shown)` for secrets. */
  readonly given?: string;
  /** What would have been right. */
  readonly expected: string;
}

/** The settings cannot be used, or `--help` was asked for; `reportAndExit` tells the human. */
export class EnvError extends Error {
  override readonly name = "EnvError";
  readonly code: "bad_env" | "help_wanted";
  readonly mistakes: readonly EnvMistake[];
  readonly entries: readonly EnvEntry[];

  constructor(code: EnvError["code"], mistakes: readonly EnvMistake[], entries: readonly EnvEntry[]) {
    super(code === "help_wanted" ? "help was asked for" : `the settings have mistakes:\n${mistakeLines(mistakes)}`);
    this.code = code;
    this.mistakes = mistakes;
    this.entries = entries;
  }
}

/** Where settings come from; both for tests and for commands with flags of their own. */
export interface EnvSources {
  /** Flags, as `--comfyui-url http://…` or `--comfyui-url=http://…` for COMFYUI_URL; they win. Default: none are read. */
  readonly argv?: readonly string[];
  /** Default: the environment of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Names whose values are never shown and never accepted as a flag (any user of the machine can list flags). */
function isSecretName(name: string): boolean {
  return /KEY|SECRET|TOKEN|PASSWORD/i.test(name) && !/_FILE$/i.test(name); // where a secret is kept is none
}

/**
 * Reads all settings of a process at once. An empty value counts as not set. Values of secret names are hidden from
 * the log from here on (`hideValue`).
 * @param schema keys are the variables' names, each with `.describe()` and, where it may be left out, a default
 * @throws EnvError with every mistake, not the first only; `help_wanted` when argv holds `--help` or `-h`
 */
export function readEnv<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  { argv = [], env = process.env }: EnvSources = {},
): z.output<z.ZodObject<Shape>> {
  const names = Object.keys(schema.shape);
  const flags = readFlags(argv, names);
  if (flags.helpWanted) throw new EnvError("help_wanted", [], describeEnv(schema));
  const given: Record<string, string> = {};
  for (const name of names) {
    const value = flags.values.get(name) ?? env[name];
    if (value === undefined || value === "") continue;
    given[name] = value;
    if (isSecretName(name)) hideValue(value);
  }
  const parsed = schema.safeParse(given);
  if (parsed.success && flags.mistakes.length === 0) return parsed.data;
  const wrong = parsed.success ? [] : parsed.error.issues.map((issue) => toMistake(issue, given));
  throw new EnvError("bad_env", [...flags.mistakes, ...wrong], describeEnv(schema));
}

/** For `main.ts`: tells a human on stderr what is wrong (or, for `--help`, on stdout what there is), then exits. */
export function reportAndExit(error: unknown): never {
  if (error instanceof EnvError && error.code === "help_wanted") {
    process.stdout.write(`${envTable(error.entries)}\n`);
    process.exit(0);
  }
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof EnvError) process.stderr.write("--help lists all settings.\n");
  process.exit(1);
}

/** Switches of the runtime itself, for the launcher and for tests; no process lists them as its settings. */
export interface Switches {
  /** COMFYQ_DIE_WITH_PARENT: `1`, or the process id the parent must have. Undefined: a parent's death changes nothing. */
  readonly dieWithParent: string | undefined;
  /** COMFYQ_FAIL_POINTS=1, without which FAILPOINT means nothing. */
  readonly failPointsAllowed: boolean;
  /** FAILPOINT as it stands, "" when not set. */
  readonly failPoints: string;
  /** COMFYQ_BREAKS: parts broken on purpose, to see the invariants' checker catch it. Empty without COMFYQ_FAIL_POINTS. */
  readonly breaks: ReadonlySet<string>;
  /** COMFYQ_TIME_SCALE: locks and heartbeats this much shorter, e.g. 0.2. 1 without COMFYQ_FAIL_POINTS. */
  readonly timeScale: number;
  /**
   * COMFYQ_NAIVE=1: one job after the other from its inputs to its settlement, as simple handlers do; what benchmarks compare
   * with. False without COMFYQ_FAIL_POINTS.
   */
  readonly isNaive: boolean;
  /** COMFYQ_HISTORY_FILE: where the test's history is written. Undefined without COMFYQ_FAIL_POINTS. */
  readonly historyFile: string | undefined;
}

/** Reads the switches as they stand now. */
export function readSwitches(): Switches {
  const { COMFYQ_DIE_WITH_PARENT, COMFYQ_FAIL_POINTS, FAILPOINT } = process.env;
  const { COMFYQ_BREAKS, COMFYQ_TIME_SCALE, COMFYQ_HISTORY_FILE, COMFYQ_NAIVE } = process.env;
  const isTest = COMFYQ_FAIL_POINTS === "1";
  return {
    dieWithParent: COMFYQ_DIE_WITH_PARENT || undefined,
    failPointsAllowed: isTest,
    failPoints: FAILPOINT ?? "",
    breaks: new Set(isTest && COMFYQ_BREAKS ? COMFYQ_BREAKS.split(",") : []),
    timeScale: isTest && COMFYQ_TIME_SCALE ? Number(COMFYQ_TIME_SCALE) : 1,
    isNaive: isTest && COMFYQ_NAIVE === "1",
    historyFile: (isTest && COMFYQ_HISTORY_FILE) || undefined,
  };
}

interface Flags {
  readonly values: ReadonlyMap<string, string>;
  readonly mistakes: readonly EnvMistake[];
  readonly helpWanted: boolean;
}

function readFlags(argv: readonly string[], names: readonly string[]): Flags {
  const values = new Map<string, string>();
  const mistakes: EnvMistake[] = [];
  const left = [...argv];
  for (let flag = left.shift(); flag !== undefined; flag = left.shift()) {
    const [, word = "", inline] = /^--([a-z0-9-]+)(?:=(.*))?$/s.exec(flag) ?? [];
    const name = word.replaceAll("-", "_").toUpperCase();
    if (isSecretName(name)) {
      mistakes.push({ name: `--${word}`, given: "(not shown)", expected: `${name} as an environment variable` });
    } else if (!names.includes(name)) {
      mistakes.push({ name: flag.split("=", 1)[0] ?? flag, expected: "one of the flags that --help lists" });
    } else {
      values.set(name, inline ?? left.shift() ?? "");
    }
  }
  return { values, mistakes, helpWanted: argv.includes("--help") || argv.includes("-h") };
}

function toMistake(issue: z.core.$ZodIssue, given: Readonly<Record<string, string>>): EnvMistake {
  const name = String(issue.path[0] ?? "settings");
  const value = given[name];
  if (value === undefined) return { name, expected: issue.path.length > 0 ? "a value: it is required" : issue.message };
  const shown = isSecretName(name) ? "(not shown)" : JSON.stringify(stripUrl(value));
  return { name, given: shown, expected: expectation(issue) };
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_value") return `one of ${issue.values.map(String).join(", ")}`;
  if (issue.code === "invalid_type") return `a ${issue.expected}`;
  if (issue.code === "invalid_format" && issue.format === "url") return "an address such as http://127.0.0.1:8188";
  return issue.message;
}

function mistakeLines(mistakes: readonly EnvMistake[]): string {
  const line = ({ name, given, expected }: EnvMistake): string =>
    `  ${name}: ${given === undefined ? "not set" : `is ${given}`}, expected ${expected}`;
  return mistakes.map(line).join("\n");
}
