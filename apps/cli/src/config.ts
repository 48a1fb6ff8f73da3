import { isAbsolute, join, resolve } from "node:path";
import { readEnv } from "@comfyq/runtime";
import * as z from "zod";

/** What every command but `up` reads. */
export const CliEnv = z.object({
  COMFYQ_URL: z
    .url({ protocol: /^https?$/ })
    .default("http://127.0.0.1:8190")
    .transform((url) => url.replace(/\/+$/, ""))
    .describe("Where the commands (run, jobs, watch, …) find the API"),
  COMFYQ_API_KEY: z.string().optional().describe("The API key that the commands send; needed once there are keys"),
});
export type CliEnv = z.output<typeof CliEnv>;

const KeysEnv = z.object({
  COMFYQ_DATA_DIR: z.string().default("./data").describe("Folder for files, secrets and logs"),
  COMFYQ_KEYS_FILE: z.string().optional().describe("The API keys; without it keys.json in the data folder"),
});

/** Reads the settings of the commands that talk to an API. @throws EnvError with all mistakes */
export function readCliEnv(): CliEnv {
  return readEnv(CliEnv);
}

/** The file that `comfyq keys` edits and the API reads. */
export function keysFilePath(): string {
  const { COMFYQ_DATA_DIR, COMFYQ_KEYS_FILE } = readEnv(KeysEnv);
  return resolve(COMFYQ_KEYS_FILE ?? join(COMFYQ_DATA_DIR, "keys.json"));
}

/** The environment as it is, for processes that we start. */
export function inheritedEnv(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

/** The process that must stay our parent, from COMFYQ_DIE_WITH_PARENT (`1`: the one we have); undefined: any. */
export function parentToDieWith(): number | undefined {
  const wish = process.env["COMFYQ_DIE_WITH_PARENT"];
  if (!wish) return undefined;
  return wish === "1" ? process.ppid : Number(wish);
}

/** Were we called as `npm run comfyq -- …`, from a clone? */
function isRunByNpm(): boolean {
  return process.env["npm_lifecycle_event"] === "comfyq";
}

/** What to type to call us again. */
export function ownName(): string {
  return isRunByNpm() ? "npm run -s comfyq --" : "comfyq";
}

/** A path as the caller meant it: `npm run` changes to the clone's root, and says in INIT_CWD where it was called. */
export function fromWhereCalled(path: string): string {
  const calledIn = isRunByNpm() ? process.env["INIT_CWD"] : undefined;
  return isAbsolute(path) ? path : resolve(calledIn ?? ".", path);
}
