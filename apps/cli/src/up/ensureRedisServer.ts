import { EXIT, type ExitCode } from "../CliError.ts";
import { installDebianRedis } from "./installRedis.ts";
import { obtainRedis } from "./obtainRedis.ts";
import { machineProbes } from "./redisProbes.ts";

/** Makes sure that there is a redis-server of this machine, as the tests need. @throws CliError that says how to get one */
export async function ensureRedisServer(): Promise<ExitCode> {
  const say = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  const { path, version } = await obtainRedis({ probes: machineProbes(), install: installDebianRedis }, "server", say);
  say(`Redis for the tests: ${path} ${version}`);
  return EXIT.succeeded;
}
