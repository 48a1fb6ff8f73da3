import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const root = new URL("../../..", import.meta.url).pathname;

/** Where each process of the product starts. */
export const MAINS = {
  api: "apps/api/src/main.ts",
  worker: "apps/worker/src/main.ts",
  dispatcher: "apps/dispatcher/src/main.ts",
  simulator: "packages/comfyui-simulator/src/main.ts",
  s3: "packages/fake-s3/src/main.ts",
} as const;

/** One real process of the product. */
export interface Running {
  readonly pid: number;
  /** The JSON line it printed when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** What it logged so far. */
  log(): string;
  /** Waits for its end. @returns its exit code; null when a signal ended it */
  ended(): Promise<number | null>;
  /** Sends a signal and waits for the end. @returns its exit code; null after a SIGKILL */
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

interface StartOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Told its process id at once: it may be killed before it is ready. */
  readonly onSpawn?: (pid: number) => void;
}

/** Starts one process of the product from its sources and waits until it says it is ready. */
export async function startProcess(name: keyof typeof MAINS, options: StartOptions): Promise<Running> {
  const env = { NODE_COMPILE_CACHE: await compiledCode(name), ...options.env };
  return startMain({ name, file: MAINS[name] }, { ...options, env });
}

/** Starts any program of this repository that prints a JSON line when it is ready. */
export async function startMain(
  { name, file }: { readonly name: string; readonly file: string },
  { args = [], env = {}, onSpawn }: StartOptions,
): Promise<Running> {
  const child = spawn(process.execPath, ["--conditions=@comfyq/source", file, ...args], {
    cwd: root,
    env: { PATH: process.env["PATH"], COMFYQ_PRINT_READY: "1", COMFYQ_DIE_WITH_PARENT: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (child.pid !== undefined) onSpawn?.(child.pid);
  let log = "";
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const ready = await Promise.race([firstLine(child), ended(child).then((code) => failure(name, code, log))]);
  return {
    pid: child.pid ?? 0,
    ready: JSON.parse(ready),
    log: () => log,
    ended: () => ended(child),
    stop: async (signal) => {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return ended(child);
    },
  };
}

/**
 * A folder with this program's compiled code, which halves the time it takes to start. Node writes it when a process ends by
 * itself, as ours rarely do: so once for all, one that only prints its help.
 */
async function compiledCode(name: keyof typeof MAINS): Promise<string> {
  const folder = join(tmpdir(), "comfyq-compiled", `${process.version}-${name}`);
  if (!existsSync(folder)) {
    const args = ["--conditions=@comfyq/source", MAINS[name], "--help"];
    const env = { PATH: process.env["PATH"], NODE_COMPILE_CACHE: folder };
    await ended(spawn(process.execPath, args, { cwd: root, env, stdio: "ignore" }));
  }
  return folder;
}

async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error("its output is not piped");
  const [line] = await once(createInterface(child.stdout), "line");
  return String(line);
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

function failure(name: string, code: number | null, log: string): never {
  throw new Error(`${name} ended with ${code} before it was ready:\n${log}`);
}
