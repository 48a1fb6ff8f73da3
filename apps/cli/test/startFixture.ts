import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const clone = join(import.meta.dirname, "../../..");
/** The Node that the lockfile pins. */
export const node = join(clone, "node_modules/.bin/node");
/** The command line, from source. */
export const cli = ["--conditions=@comfyq/source", join(clone, "apps/cli/src/main.ts")];

/** What a process that ended left. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, with nothing of ours in its environment but `env`. */
export async function runToEnd(
  path: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ended> {
  const child = spawn(path, args, { env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  const [code] = await once(child, "close");
  return { code, stdout: stdout(), stderr: stderr() };
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  return () => text;
}

function cleanEnv(env: Record<string, string>): Record<string, string> {
  // Halves what a start costs: types are stripped, and code compiled, once for all of them.
  const NODE_COMPILE_CACHE = join(tmpdir(), "comfyq-test-compile-cache");
  return { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", NODE_COMPILE_CACHE, ...env };
}

/** A fixture of ours that runs until it is told to stop, at the latest when it goes out of scope. */
export interface Running extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly exited: Promise<unknown>;
  /** The JSON object it prints when it is up. */
  readonly facts: Promise<Record<string, unknown>>;
}

export function startFixture(name: string, args: readonly string[], env: Record<string, string> = {}): Running {
  const file = join(import.meta.dirname, "fixtures", name);
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn(node, ["--conditions=@comfyq/source", file, ...args], { env: cleanEnv(env), stdio: [...stdio] });
  const exited = once(child, "exit");
  const facts = new Promise<Record<string, unknown>>((resolve, reject) => {
    child.stdout?.once("data", (chunk) => resolve(JSON.parse(String(chunk))));
    void exited.then(() => reject(new Error(`${name} ended before it was up`)));
  });
  facts.catch(() => undefined);
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
  };
  return { child, exited, facts, [Symbol.asyncDispose]: stop };
}

/** A folder of one's own, gone at the end. */
export async function temporaryFolder(prefix = "comfyq-cli-"): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), prefix));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) };
}

/** Less than a test may take: then what it started is put away, which a test that is cut off cannot do. */
const PATIENCE_MS = 15_000;

/** Resolves when `isTrue` is; looks often. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const lateAt = performance.now() + PATIENCE_MS;
  while (!(await isTrue())) {
    if (performance.now() > lateAt) throw new Error(`it did not happen within ${PATIENCE_MS} ms: ${isTrue.toString()}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Is there such a process? A zombie, which only waits to be collected, is none. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !existsSync(`/proc/${pid}/stat`) || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** Sends one command with redis-cli, at the address that a private Redis has. */
export function askRedis(url: string, ...command: readonly string[]): string {
  const at = url.startsWith("/") ? ["-s", url] : ["-u", url, "--no-auth-warning"];
  return execFileSync("redis-cli", [...at, ...command], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
}
