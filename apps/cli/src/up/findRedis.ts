/** A Redis that can be started here. */
export type RedisProgram =
  | { readonly kind: "server"; readonly path: string; readonly version: string }
  | { readonly kind: "docker"; readonly path: string; readonly version: string };

/** What was seen on this machine; each fact is looked up when it is asked for. */
export interface RedisProbes {
  /** Full path of a program on PATH. */
  readonly which: (program: string) => Promise<string | undefined>;
  /** What `<path> --version` prints. */
  readonly versionText: (path: string) => Promise<string>;
  /** The Docker engine's version when it runs and lets us in. */
  readonly dockerVersion: (docker: string) => Promise<string | undefined>;
  readonly platform: string;
  readonly isRoot: boolean;
  /** `ID` and `ID_LIKE` of /etc/os-release, as words: `["ubuntu", "debian"]`. */
  readonly osWords: () => Promise<readonly string[]>;
}

/** What to do: start this one, install Debian's package first, or give up with this advice. */
export type RedisDecision =
  | { readonly kind: "found"; readonly program: RedisProgram; readonly notes: readonly string[] }
  | { readonly kind: "install"; readonly notes: readonly string[] }
  | { readonly kind: "none"; readonly advice: string; readonly notes: readonly string[] };

/** Which programs will do: tests need a server of this machine, a container's they could not kill. */
export type RedisNeed = "any" | "server";

const LOWEST = [6, 2] as const;

/**
 * Looks for a Redis in this order: PATH (redis-server, valkey-server), a running Docker engine, Debian's package when we
 * are root on Debian. Decides only; installs nothing.
 */
export async function findRedis(probes: RedisProbes, need: RedisNeed = "any"): Promise<RedisDecision> {
  const notes: string[] = [];
  for (const name of ["redis-server", "valkey-server"]) {
    const path = await probes.which(name);
    if (path === undefined) continue;
    const version = /v=(\d+\.\d+[.\d]*)/.exec(await probes.versionText(path))?.[1] ?? "unknown";
    if (isRecent(version)) return { kind: "found", program: { kind: "server", path, version }, notes };
    notes.push(`${path} is version ${version}; ${LOWEST.join(".")} or newer is needed, so it is passed over.`);
  }
  const docker = need === "any" ? await probes.which("docker") : undefined;
  if (docker !== undefined) {
    const version = await probes.dockerVersion(docker);
    if (version !== undefined) return { kind: "found", program: { kind: "docker", path: docker, version }, notes };
    notes.push(`${docker} is there, but its engine does not answer.`);
  }
  const osWords = probes.platform === "linux" ? await probes.osWords() : [];
  if (probes.isRoot && osWords.includes("debian")) return { kind: "install", notes };
  return { kind: "none", advice: redisAdvice(probes.platform, osWords), notes };
}

function isRecent(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > LOWEST[0] || (major === LOWEST[0] && minor >= LOWEST[1]);
}

const INSTALL_COMMANDS: Readonly<Record<string, string>> = {
  debian: "sudo apt-get install -y redis-server",
  fedora: "sudo dnf install -y valkey",
  rhel: "sudo dnf install -y redis",
  alpine: "sudo apk add redis",
  arch: "sudo pacman -S valkey",
  suse: "sudo zypper install redis",
  darwin: "brew install redis",
};

/** What a human of this machine has to type to get a Redis. */
function redisAdvice(platform: string, osWords: readonly string[]): string {
  const known = platform === "linux" ? osWords.find((word) => word in INSTALL_COMMANDS) : platform;
  const command = INSTALL_COMMANDS[known ?? ""];
  const first = command ? `Install one:  ${command}` : "Install Redis 6.2 or newer (https://redis.io/docs/install)";
  return [
    "comfyq keeps its jobs in Redis, and there is none here.",
    `  ${first}`,
    "  or start Docker, or point REDIS_URL at a Redis that runs, then run the same command again.",
  ].join("\n");
}
