import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { newSecret, sha256Hex, sleep } from "@comfyq/runtime";
import { inheritedEnv } from "../config.ts";
import { endLeftoverRedis } from "./endLeftover.ts";
import type { RedisProgram } from "./findRedis.ts";
import { redisConf } from "./redisConf.ts";
import { pingRedis, type RedisAddress } from "./redisPing.ts";
import type { ChildCommand } from "./startRun.ts";
import type { ChildPlan } from "./superviseChild.ts";

/** Longest path of a unix socket that every system takes (macOS: 104 bytes with the closing zero, Linux: 108). */
const LONGEST_SOCKET_BYTES = 100;
/** Loading a large AOF takes its time. */
const READY_MS = 120_000;
const LEFTOVER_MS = 10_000;
const PING_MS = 1_000;
const LOOK_EVERY_MS = 50;
const PORT_IN_CONTAINER = 6_379;

/** A private Redis, ready to be started. */
export interface PrivateRedis {
  readonly address: RedisAddress;
  readonly plan: ChildPlan<void>;
}

/**
 * Prepares a Redis of our own: its folder, its configuration, nobody left over in it from before.
 * @param folder absolute; Redis keeps everything in it
 */
export async function preparePrivateRedis(program: RedisProgram, folder: string): Promise<PrivateRedis> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const addressFile = join(folder, "address.json");
  await endLeftoverRedis(addressFile, join(folder, "redis.pid"), LEFTOVER_MS);
  const address = await chooseAddress(program, folder);
  const inside =
    program.kind === "docker" && address.kind === "port" ? { ...address, port: PORT_IN_CONTAINER } : address;
  const places = program.kind === "docker" ? ({ folder: "/data", listen: "everywhere" } as const) : undefined;
  await writeFile(join(folder, "redis.conf"), redisConf(inside, places ?? { folder, listen: "loopback" }), {
    mode: 0o600,
  });
  await writeFile(addressFile, JSON.stringify(address), { mode: 0o600 });
  return {
    address,
    plan: {
      name: "redis",
      command: () => redisCommand(program, folder, address),
      untilReady: (_readyLine, signal) => untilPong(address, signal),
      readyWithinMs: READY_MS,
    },
  };
}

/** A unix socket where its path is short enough: no port to collide with, no password. */
async function chooseAddress(program: RedisProgram, folder: string): Promise<RedisAddress> {
  const path = join(folder, "redis.sock");
  if (program.kind === "server" && Buffer.byteLength(path) <= LONGEST_SOCKET_BYTES) return { kind: "socket", path };
  return { kind: "port", port: await freePort(), password: newSecret("redis") };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  return address.port;
}

/**
 * Runs "$@" in place of this shell, after leaving a watcher behind that reads file descriptor 3. We hold its other end: a
 * line says that the program has ended, the end of the file that we are gone, kill -9 included. Then the other processes,
 * which notice by themselves, get a few seconds to give their jobs back, and the program ends.
 */
const WITH_WATCHER = '(read -r _ <&3 || { sleep 6; kill -TERM $$; }) >/dev/null 2>&1 & exec "$@" 3<&-';

/** What is started: the server, or a container with it; both end some seconds after we do. */
function redisCommand(program: RedisProgram, folder: string, address: RedisAddress): ChildCommand {
  const args =
    program.kind === "server" ? [program.path, join(folder, "redis.conf")] : dockerArgs(program.path, folder, address);
  return { path: "/bin/sh", args: ["-c", WITH_WATCHER, "sh", ...args], env: inheritedEnv(), hasLifeline: true };
}

function dockerArgs(docker: string, folder: string, address: RedisAddress): readonly string[] {
  const port = address.kind === "port" ? [`127.0.0.1:${address.port}:${PORT_IN_CONTAINER}`] : [];
  const user = process.getuid && process.getgid ? ["--user", `${process.getuid()}:${process.getgid()}`] : [];
  return [
    ...[docker, "run", "--rm", "--name", `comfyq-redis-${sha256Hex(folder).slice(0, 12)}`],
    ...[...user, ...port.flatMap((mapping) => ["-p", mapping]), "-v", `${folder}:/data`],
    ...["redis:7-alpine", "redis-server", "/data/redis.conf"],
  ];
}

async function untilPong(address: RedisAddress, signal: AbortSignal): Promise<void> {
  while ((await pingRedis(address, PING_MS)) !== "ready") await sleep(LOOK_EVERY_MS, signal);
}
