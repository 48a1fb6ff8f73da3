import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { askRedis, isAlive, startFixture, temporaryFolder, until } from "./startFixture.ts";

const pidOf = (url: string) => Number(/process_id:(\d+)/.exec(askRedis(url, "INFO", "server"))?.[1]);

test.concurrent("a private Redis keeps what it acknowledged, refuses to forget, and is reached by its socket alone", async () => {
  await using folder = await temporaryFolder();
  await using launcher = startFixture("holdRedis.ts", [folder.path]);
  const { url } = await launcher.facts;
  expect(url).toBe(join(folder.path, "redis/redis.sock"));
  expect(statSync(String(url)).mode & 0o777).toBe(0o700);
  const setting = (name: string) => askRedis(String(url), "CONFIG", "GET", name).split("\n")[1] ?? "";
  expect(["appendonly", "appendfsync", "maxmemory-policy", "save", "port"].map(setting)).toEqual([
    "yes",
    "everysec",
    "noeviction",
    "",
    "0",
  ]);
  askRedis(String(url), "SET", "job", "accepted");
  const pid = pidOf(String(url));
  launcher.child.kill("SIGTERM");
  await launcher.exited;
  expect(isAlive(pid)).toBe(false);

  await using again = startFixture("holdRedis.ts", [folder.path]);
  expect(askRedis(String((await again.facts)["url"]), "GET", "job")).toBe("accepted");
});

test.concurrent("a launcher that is killed with kill -9 leaves no Redis behind", async () => {
  await using folder = await temporaryFolder();
  await using launcher = startFixture("holdRedis.ts", [folder.path]);
  const pid = pidOf(String((await launcher.facts)["url"]));
  launcher.child.kill("SIGKILL");
  await until(() => !isAlive(pid));
});

test.concurrent("a Redis that dies is started again, at the same address and with its data; its watcher is not left behind", async () => {
  await using folder = await temporaryFolder();
  await using launcher = startFixture("holdRedis.ts", [folder.path]);
  const url = String((await launcher.facts)["url"]);
  askRedis(url, "SET", "job", "accepted");
  const pid = pidOf(url);
  const watcher = Number(childrenOf(pid)[0]);
  expect(isAlive(watcher)).toBe(true);
  process.kill(pid, "SIGKILL");
  await until(() => !isAlive(watcher));
  await until(() => existsSync(url) && answers(url));
  expect(pidOf(url)).not.toBe(pid);
  expect(askRedis(url, "GET", "job")).toBe("accepted");
});

test.concurrent("a Redis left over in the data folder is ended before a new one starts on its files", async () => {
  await using folder = await temporaryFolder();
  await using crashed = startFixture("holdRedis.ts", [folder.path]);
  const url = String((await crashed.facts)["url"]);
  askRedis(url, "SET", "job", "accepted");
  const pid = pidOf(url);
  crashed.child.kill("SIGKILL");
  await crashed.exited;
  expect(isAlive(pid)).toBe(true);
  await using next = startFixture("holdRedis.ts", [folder.path]);
  await next.facts;
  expect(isAlive(pid)).toBe(false);
  expect(askRedis(url, "GET", "job")).toBe("accepted");
});

test.concurrent("where a socket's path would be too long, Redis listens on a port of this machine with a password", async () => {
  await using folder = await temporaryFolder();
  const deep = join(folder.path, "x".repeat(100));
  await using launcher = startFixture("holdRedis.ts", [deep]);
  const url = String((await launcher.facts)["url"]);
  const [, password = "", port = ""] = /^redis:\/\/default:(redis_[\w-]{43})@127\.0\.0\.1:(\d+)$/.exec(url) ?? [];
  expect(askRedis(url, "PING")).toBe("PONG");
  expect(askRedis(`redis://127.0.0.1:${port}`, "PING")).toContain("NOAUTH");
  expect(askRedis(url, "CONFIG", "GET", "bind")).toContain("127.0.0.1");
  expect(statSync(join(deep, "redis/redis.conf")).mode & 0o077).toBe(0);
  expect(readFileSync(`/proc/${pidOf(url)}/cmdline`, "utf8")).not.toContain(password);
});

test.concurrent("with Docker alone the same Redis runs in a container, with its files in the data folder, and ends with us", async () => {
  await using folder = await temporaryFolder();
  const bin = join(folder.path, "bin");
  await mkdir(bin);
  await symlink(join(import.meta.dirname, "fixtures/docker"), join(bin, "docker"));
  for (const tool of ["sh", "sed", "cut", "sleep"]) await symlink(`/bin/${tool}`, join(bin, tool));
  const REAL_REDIS = execFileSync("which", ["redis-server"], { encoding: "utf8" }).trim();
  await using launcher = startFixture("holdRedis.ts", [folder.path], { PATH: bin, REAL_REDIS });
  const { program, url } = await launcher.facts;
  expect(program).toMatchObject({ kind: "docker" });
  askRedis(String(url), "SET", "job", "accepted");
  expect(existsSync(join(folder.path, "redis/appendonlydir"))).toBe(true);
  const pid = pidOf(String(url));
  launcher.child.kill("SIGTERM");
  await launcher.exited;
  expect(isAlive(pid)).toBe(false);
});

function childrenOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
}

function answers(url: string): boolean {
  try {
    return askRedis(url, "PING") === "PONG";
  } catch {
    return false;
  }
}
