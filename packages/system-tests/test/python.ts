import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const HERE = new URL("../python/", import.meta.url).pathname;
const CACHE = new URL("../../../node_modules/.cache/comfyq-python/", import.meta.url).pathname;
const REQUIREMENTS = join(HERE, "requirements.txt");

interface RunOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A Python that has the packages of `python/requirements.txt` and the modules beside it. */
export interface Python {
  /** @returns what the last line that it printed says, as JSON. @throws Error with all that it printed when it fails */
  run(program: string, args: readonly string[], options: RunOptions): Promise<unknown>;
}

/**
 * Prepares one, with packages of its own beside this machine's, kept for the next time; or says why there is none: no Python, or no
 * package index to be reached.
 */
export async function preparePython(): Promise<{ readonly python?: Python; readonly missing?: string }> {
  try {
    const packages = await installed(await pythonVersion());
    return {
      python: { run: (program, args, options) => runProgram(packages, [join(HERE, program), ...args], options) },
    };
  } catch (error) {
    return { missing: error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error) };
  }
}

/** @throws Error that names what is missing */
async function pythonVersion(): Promise<string> {
  const { stdout } = await run("python3", ["-c", "import sys, platform; print(sys.version, platform.machine())"]).catch(
    () => {
      throw new Error("there is no python3");
    },
  );
  return stdout;
}

/** The folder of the packages. It has its name when all are in it, so half of them are never used. */
async function installed(version: string): Promise<string> {
  const wanted = createHash("sha256")
    .update(version)
    .update(await readFile(REQUIREMENTS));
  const folder = join(CACHE, wanted.digest("hex").slice(0, 16));
  if (existsSync(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const fresh = await mkdtemp(join(CACHE, "fresh-"));
  const how = [
    "--quiet",
    "--disable-pip-version-check",
    "--require-hashes",
    "--only-binary",
    ":all:",
    "--retries",
    "1",
  ];
  try {
    await run("python3", ["-m", "pip", "install", ...how, "--target", fresh, "-r", REQUIREMENTS], { timeout: 180_000 });
    await rename(fresh, folder);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    if (!existsSync(folder)) throw new Error("its packages could not be installed", { cause: error });
  }
  return folder;
}

async function runProgram(packages: string, args: readonly string[], { cwd, env = {} }: RunOptions): Promise<unknown> {
  const PYTHONPATH = [HERE, packages].join(delimiter);
  const own = { PATH: process.env["PATH"], PYTHONPATH, PYTHONDONTWRITEBYTECODE: "1", ...env };
  const { stdout } = await run("python3", args, { cwd, env: own });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "null");
}
