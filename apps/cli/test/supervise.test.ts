import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CliError } from "../src/CliError.ts";
import { createFleet, type Fleet } from "../src/up/fleet.ts";
import { openLogFile } from "../src/up/logFile.ts";
import type { ChildEvent, ChildPlan } from "../src/up/superviseChild.ts";
import { isAlive, node, temporaryFolder, until } from "./startFixture.ts";

/** A process that runs this JavaScript; `ready({...})` tells that it is up. */
function plan(name: string, script: string, readyWithinMs = 10_000): ChildPlan<Record<string, unknown>> {
  const head = `const ready = (facts) => console.log(JSON.stringify({ ready: ${JSON.stringify(name)}, ...facts }));
    const { appendFileSync } = require("node:fs"); const hold = setInterval(() => undefined, 60_000);`;
  return {
    name,
    command: () => ({ path: node, args: ["-e", head + script], env: {} }),
    untilReady: (line) => line,
    readyWithinMs,
  };
}

async function setup() {
  const folder = await temporaryFolder();
  const events: ChildEvent[] = [];
  const fleet: Fleet = createFleet(join(folder.path, "logs"), (event) => void events.push(event));
  const dispose = async () => {
    await fleet.kill();
    await folder[Symbol.asyncDispose]();
  };
  return { folder: folder.path, fleet, events, [Symbol.asyncDispose]: dispose };
}

const PID = "ready({ pid: process.pid });";

test.concurrent("a process that is killed is started again, and both is told", async () => {
  await using system = await setup();
  const journal = join(system.folder, "starts");
  const script = `appendFileSync(${JSON.stringify(journal)}, process.pid + "\\n"); ${PID}`;
  const { pid } = await system.fleet.add("front", plan("worker-1", script));
  process.kill(Number(pid), "SIGKILL");
  await until(() => system.events.some(({ kind }) => kind === "back"));
  expect(system.events).toEqual([
    { kind: "died", name: "worker-1", how: "was ended by SIGKILL", restartInMs: 500 },
    { kind: "back", name: "worker-1" },
  ]);
  expect(readFileSync(journal, "utf8").trim().split("\n")).toHaveLength(2);
});

test.concurrent("a process that falls over and over is started again ever later, and never silently", async () => {
  await using system = await setup();
  await system.fleet.add("front", plan("api", "ready({}); setTimeout(() => process.exit(7), 10);"));
  await until(() => system.events.filter(({ kind }) => kind === "died").length >= 2);
  const died = system.events.filter((event) => event.kind === "died");
  expect(died.map(({ how, restartInMs }) => [how, restartInMs])).toEqual([
    ["ended with code 7", 500],
    ["ended with code 7", 1_000],
  ]);
});

test.concurrent("a process that cannot start is not tried again: the human gets its last words", async () => {
  await using system = await setup();
  const script = 'console.error("COMFYQ_LINK_SECRET: is too short"); process.exit(1);';
  const failed = system.fleet.add("front", plan("api", script));
  await expect(failed).rejects.toThrow(
    /api could not start: it ended with code 1\.\n {2}COMFYQ_LINK_SECRET: is too short/,
  );
  await expect(failed).rejects.toBeInstanceOf(CliError);
  expect(system.events.filter(({ kind }) => kind === "died")).toEqual([]);
});

test.concurrent("of a process that logs, the last words are its errors, as a human reads them", async () => {
  await using system = await setup();
  const script = `console.error('{"level":"info","msg":"starting"}');
    console.error('{"level":"error","err":{"message":"Redis can lose jobs","stack":"at x"},"msg":"could not start"}');
    process.exit(1);`;
  await expect(system.fleet.add("front", plan("api", script))).rejects.toThrow(
    /ended with code 1\.\n {2}error could not start \(Redis can lose jobs\)\nAll of it: .*api\.log$/,
  );
});

test.concurrent("a program that is not there, and one that is never ready, are told apart", async () => {
  await using system = await setup();
  const missing = { ...plan("api", ""), command: () => ({ path: "/does/not/exist", args: [], env: {} }) };
  await expect(system.fleet.add("front", missing)).rejects.toThrow(/could not be started: .*ENOENT/);
  await expect(system.fleet.add("front", plan("dispatcher", "", 100))).rejects.toThrow(/not ready within 0.1 s/);
});

test.concurrent("stopping ends who needs others first: API and workers, then ComfyUI, then Redis", async () => {
  await using system = await setup();
  const journal = join(system.folder, "ends");
  writeFileSync(journal, "");
  const told = (name: string, afterMs: number) => `
    process.on("SIGTERM", () => setTimeout(() => {
      appendFileSync(${JSON.stringify(journal)}, ${JSON.stringify(name)} + "\\n"); process.exit(0);
    }, ${afterMs})); ${PID}`;
  await system.fleet.add("redis", plan("redis", told("redis", 0)));
  await system.fleet.add("comfyui", plan("simulator-1", told("simulator-1", 0)));
  await system.fleet.add("front", plan("worker-1", told("worker-1", 200)));
  await system.fleet.add("front", plan("api", told("api", 100)));
  await system.fleet.stop();
  expect(readFileSync(journal, "utf8").trim().split("\n")).toEqual(["api", "worker-1", "simulator-1", "redis"]);
  expect(system.events.filter(({ kind }) => kind === "died")).toEqual([]);
});

test.concurrent("whoever does not end when asked is killed, and the others still end in order", async () => {
  await using system = await setup();
  const deaf = `process.on("SIGTERM", () => console.error("no")); ${PID}`;
  const worker = await system.fleet.add("front", plan("worker-1", deaf));
  const redis = await system.fleet.add("redis", plan("redis", PID));
  await system.fleet.stop({ front: 300, comfyui: 300, redis: 5_000 });
  expect([worker, redis].map(({ pid }) => isAlive(Number(pid)))).toEqual([false, false]);
});

test.concurrent("kill ends a stop that is under way, at once", async () => {
  await using system = await setup();
  const deaf = `process.on("SIGTERM", () => console.error("no")); ${PID}`;
  const { pid } = await system.fleet.add("front", plan("worker-1", deaf));
  const stopping = system.fleet.stop({ front: 600_000, comfyui: 600_000, redis: 600_000 });
  await until(() => system.events.some((event) => event.kind === "line" && event.text === "no"));
  await system.fleet.kill();
  await stopping;
  expect(isAlive(Number(pid))).toBe(false);
});

test.concurrent("nothing is started any more once the fleet is stopping", async () => {
  await using system = await setup();
  await system.fleet.stop();
  expect(() => system.fleet.add("front", plan("api", PID))).toThrow(/api was not started/);
});

test.concurrent("what a process prints goes to its log, and each run has a new one; three older are kept", async () => {
  await using folder = await temporaryFolder();
  for (const run of [1, 2, 3, 4, 5]) {
    const log = openLogFile(folder.path, "api");
    log.write(`run ${run}`);
    expect(log.tail()).toEqual([`run ${run}`]);
    await log.close();
  }
  const runs = ["api.log", "api.1.log", "api.2.log", "api.3.log"].map((name) =>
    readFileSync(join(folder.path, name), "utf8"),
  );
  expect(runs).toEqual(["run 5\n", "run 4\n", "run 3\n", "run 2\n"]);
  expect(readdirSync(folder.path)).toHaveLength(4);
});

test.concurrent("a log that grows too large is turned over while its process runs", async () => {
  await using folder = await temporaryFolder();
  const log = openLogFile(folder.path, "worker-1");
  const megabyte = "x".repeat(1024 * 1024);
  for (let count = 0; count < 22; count += 1) log.write(megabyte);
  await log.close();
  expect(existsSync(join(folder.path, "worker-1.1.log"))).toBe(true);
  expect(readFileSync(log.path).byteLength).toBeLessThan(3 * 1024 * 1024);
});
