import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { CliError } from "../CliError.ts";
import { inheritedEnv } from "../config.ts";

/** Debian asks this program whether a fresh package may start its service (invoke-rc.d(8)); 101 means no. */
const POLICY_FILE = "/usr/sbin/policy-rc.d";

/**
 * Installs Debian's redis-server, program only: its system service is kept from starting, for the one we use is our own.
 * @throws CliError `broken` with what apt printed
 */
export async function installDebianRedis(say: (line: string) => void): Promise<void> {
  say("There is no Redis on this machine. As this is Debian and you are root: installing its package redis-server.");
  const isOurs = await writeFile(POLICY_FILE, "#!/bin/sh\nexit 101\n", { mode: 0o755, flag: "wx" }).then(
    () => true,
    () => false, // containers have one already, which says the same
  );
  try {
    await apt(["update", "-q"]);
    await apt(["install", "-y", "-q", "--no-install-recommends", "redis-server"]);
  } finally {
    if (isOurs) await rm(POLICY_FILE, { force: true });
  }
}

async function apt(args: readonly string[]): Promise<void> {
  const env = { ...inheritedEnv(), DEBIAN_FRONTEND: "noninteractive" };
  const child = spawn("apt-get", args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (printed += text));
  const [code] = await once(child, "close");
  if (code === 0) return;
  const tail = printed.trimEnd().split("\n").slice(-15).join("\n");
  throw new CliError(
    "broken",
    `${tail}\n\napt-get ${args[0]} failed. Install redis-server yourself, or set REDIS_URL.`,
  );
}
