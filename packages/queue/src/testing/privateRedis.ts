import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectRedis, untilReady } from "../connection.ts";

/** A real redis-server of one's own: unix socket, AOF on, gone after `close`. */
export interface PrivateRedis extends AsyncDisposable {
  /** Path of the unix socket; what `connectRedis` and REDIS_URL take. */
  readonly url: string;
  readonly pid: number;
  /** kill -9, as a power cut would. The files stay. */
  kill(): Promise<void>;
  /** Starts it again on the same files, after `kill`. */
  restart(): Promise<void>;
  /** All that it was ever told to write, as it stands in its files. */
  everWritten(): Promise<string>;
  close(): Promise<void>;
}

/** Starts `redis-server` from PATH (or valkey-server, when that is what there is). */
export async function startPrivateRedis(): Promise<PrivateRedis> {
  const dir = await mkdtemp(join(tmpdir(), "comfyq-redis-"));
  const socket = join(dir, "redis.sock");
  let server = await launch(dir, socket);
  const stop = (signal: NodeJS.Signals) => exited(server, signal);
  const close = async () => {
    await stop("SIGKILL");
    await rm(dir, { recursive: true, force: true });
  };
  return {
    url: socket,
    get pid() {
      return server.pid ?? 0;
    },
    kill: () => stop("SIGKILL"),
    restart: async () => {
      server = await launch(dir, socket);
    },
    everWritten: () => textBelow(dir),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function launch(dir: string, socket: string): Promise<ChildProcess> {
  const flags = ["--port", "0", "--unixsocket", socket, "--appendonly", "yes", "--save", "", "--dir", dir];
  const server = spawn("redis-server", [...flags, "--maxmemory-policy", "noeviction"], { stdio: "ignore" });
  const failed = new Promise<never>((_, reject) => server.once("error", reject));
  const probe = connectRedis(socket, "worker");
  try {
    await Promise.race([untilReady(probe, 10_000), failed]);
  } finally {
    probe.disconnect();
  }
  return server;
}

function exited(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  return new Promise((resolve) => {
    if (server.exitCode !== null || server.signalCode !== null) return resolve();
    server.once("exit", () => resolve());
    server.kill(signal);
  });
}

async function textBelow(dir: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return (await Promise.all(files.map((file) => readFile(file, "latin1")))).join("");
}
