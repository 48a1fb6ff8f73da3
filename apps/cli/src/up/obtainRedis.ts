import { CliError } from "../CliError.ts";
import { findRedis, type RedisNeed, type RedisProbes, type RedisProgram } from "./findRedis.ts";

/** What `obtainRedis` does things with. */
export interface RedisSources {
  readonly probes: RedisProbes;
  /** Installs Debian's package. */
  readonly install: (say: (line: string) => void) => Promise<void>;
}

/**
 * Finds a Redis, installing Debian's package where that is the only way.
 * @param say hears what was found on the way, and what is being done
 * @throws CliError `broken` that names the command for this system
 */
export async function obtainRedis(
  { probes, install }: RedisSources,
  need: RedisNeed,
  say: (line: string) => void,
): Promise<RedisProgram> {
  for (let hasInstalled = false; ; hasInstalled = true) {
    const decision = await findRedis(probes, need);
    if (!hasInstalled) for (const note of decision.notes) say(note);
    if (decision.kind === "found") return decision.program;
    if (decision.kind === "none") throw new CliError("broken", decision.advice);
    if (hasInstalled)
      throw new CliError("broken", "The package redis-server was installed, but no redis-server is there");
    await install(say);
  }
}
