import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Fleet } from "../fleet.ts";
import type { Acts } from "./act.ts";

/** Less than an idle Redis uses: every write is refused. */
const TOO_LITTLE_BYTES = "100kb";
/** Nobody listens there: a replica of it stays as it is, and takes no writes. */
const NOBODY = ["127.0.0.1", "1"] as const;
const ANSWER_MS = 3_000;

/** Asks Redis itself, past every line. @throws Error when it refuses, or does not answer within 3 s */
export async function askRedis({ redis }: Fleet, ...words: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("redis-cli", ["-e", "-s", redis.url, ...words], { timeout: ANSWER_MS });
  return stdout.trim();
}

/** Back to a Redis that runs and takes writes, whatever was done to it. */
export async function mendRedis(fleet: Fleet): Promise<void> {
  await askRedis(fleet, "CONFIG", "SET", "maxmemory", "0");
  await askRedis(fleet, "REPLICAOF", "NO", "ONE");
}

/** What can happen to Redis. */
export const REDIS_ACTS: Acts = {
  kill_redis: async ({ fleet }) => {
    await fleet.redis.kill();
    return () => fleet.redis.restart();
  },
  stop_redis: ({ fleet }) => {
    const { pid } = fleet.redis;
    process.kill(pid, "SIGSTOP");
    return () => {
      if (fleet.redis.pid === pid) process.kill(pid, "SIGCONT");
    };
  },
  redis_full: async ({ fleet }) => {
    await askRedis(fleet, "CONFIG", "SET", "maxmemory", TOO_LITTLE_BYTES);
    return () => mendRedis(fleet);
  },
  redis_readonly: async ({ fleet }) => {
    await askRedis(fleet, "REPLICAOF", ...NOBODY);
    return () => mendRedis(fleet);
  },
};
