import { execFile } from "node:child_process";
import { access, constants, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { inheritedEnv } from "../config.ts";
import type { RedisProbes } from "./findRedis.ts";

const run = promisify(execFile);

/** Longest a program may take to say its version; a Docker client waits long for an engine that is away. */
const PROBE_MS = 5_000;

/** Looks at this machine. */
export function machineProbes(): RedisProbes {
  return {
    which,
    versionText: (path) =>
      run(path, ["--version"], { timeout: PROBE_MS }).then(
        ({ stdout }) => stdout,
        () => "", // a program that cannot even say its version is none we could start
      ),
    dockerVersion,
    platform: process.platform,
    isRoot: process.getuid?.() === 0,
    osWords: async () => parseOsRelease(await readFile("/etc/os-release", "utf8").catch(() => "")),
  };
}

async function which(program: string): Promise<string | undefined> {
  // /usr/sbin and Homebrew's folder are where servers are, and often not on the PATH of a plain user.
  const folders = [
    ...(inheritedEnv()["PATH"] ?? "").split(delimiter),
    "/usr/sbin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
  ];
  for (const folder of folders.filter((name) => name !== "")) {
    const path = join(folder, program);
    const canRun = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (canRun) return path;
  }
  return undefined;
}

async function dockerVersion(docker: string): Promise<string | undefined> {
  const asked = run(docker, ["version", "--format", "{{.Server.Version}}"], { timeout: PROBE_MS });
  const version = await asked.then(({ stdout }) => stdout.trim()).catch(() => "");
  return version === "" ? undefined : version;
}

/** `ID` and `ID_LIKE` as words. Source: os-release(5). */
export function parseOsRelease(text: string): readonly string[] {
  return [...text.matchAll(/^ID(?:_LIKE)?=(.*)$/gm)].flatMap(([, value = ""]) =>
    value.replaceAll(/["']/g, "").split(" ").filter(Boolean),
  );
}
