import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isTerminal, Job } from "@comfyq/contract";
import { expect, onTestFinished, test, vi } from "vitest";
import { sampling } from "./graphs.ts";
import { readJson } from "./setup.ts";

const root = new URL("../../..", import.meta.url).pathname;

interface Launched {
  readonly url: string;
  readonly launcher: ChildProcess;
}

/** `comfyq up` as a person starts it; ready when its start screen names the API. */
async function up(dataDir: string): Promise<Launched> {
  const launcher = spawn(process.execPath, ["--conditions=@comfyq/source", "apps/cli/src/main.ts", "up"], {
    cwd: root,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], COMFYQ_PORT: "0", COMFYQ_DATA_DIR: dataDir },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void launcher.kill("SIGKILL"));
  let screen = "";
  const named = new Promise<string>((resolve, reject) => {
    const look = (chunk: Buffer) => {
      screen += chunk;
      const [, url] = /API\s+(http:\S+)/.exec(screen) ?? [];
      if (url) resolve(url);
    };
    launcher.stdout.on("data", look);
    launcher.stderr.on("data", look);
    launcher.once("exit", (code) => reject(new Error(`comfyq up ended with ${code}:\n${screen}`)));
  });
  return { url: await named, launcher };
}

interface Listed {
  readonly pid: number;
  readonly parent: number;
}

/** All live processes; one that has ended and was not buried yet (state Z) does not live. */
async function processes(): Promise<Listed[]> {
  const listing = spawn("ps", ["-eo", "pid=,ppid=,stat="], { stdio: ["ignore", "pipe", "ignore"] });
  const lines = (await listing.stdout.toArray()).join("").trim().split("\n");
  return lines.flatMap((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/);
    return state?.startsWith("Z") ? [] : [{ pid: Number(pid), parent: Number(parent) }];
  });
}

/** The processes below a launcher: its children, theirs, and so on. */
async function below(launcher: ChildProcess): Promise<number[]> {
  const parents = new Map((await processes()).map(({ pid, parent }) => [pid, parent]));
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && (parent === launcher.pid || isBelow(parent));
  };
  return [...parents.keys()].filter(isBelow);
}

/** Ctrl-C, and then nobody is left. */
async function interrupt({ launcher }: Launched): Promise<void> {
  const pids = await below(launcher);
  expect(pids.length).toBeGreaterThanOrEqual(5); // api, worker, dispatcher, simulator, redis
  launcher.kill("SIGINT");
  expect(await once(launcher, "exit")).toEqual([0, null]);
  // Redis's watcher hears of the end by a pipe, and so a moment after the launcher is gone.
  await vi.waitFor(async () => expect((await processes()).filter(({ pid }) => pids.includes(pid))).toEqual([]), 5_000);
}

test("ten jobs, Ctrl-C in the middle, and a second start: all ten end, once each, and no process is left", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "comfyq-up-"));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const first = await up(dataDir);
  const post = { method: "POST", headers: { "content-type": "application/json" } };
  const ids: string[] = [];
  for (let n = 0; n < 10; n += 1) {
    const answer = fetch(`${first.url}/v1/jobs`, { ...post, body: JSON.stringify({ workflow: sampling(20) }) });
    ids.push(Job.parse(await readJson(answer)).id);
  }
  const read = (url: string) =>
    Promise.all(ids.map(async (id) => Job.parse(await readJson(fetch(`${url}/v1/jobs/${id}`)))));
  while (!(await read(first.url)).some(({ status }) => status === "succeeded"))
    await new Promise((r) => setTimeout(r, 50));
  await interrupt(first);
  const second = await up(dataDir);
  expect((await read(second.url)).some(({ status }) => status === "queued" || status === "running")).toBe(true);
  while (!(await read(second.url)).every(({ status }) => isTerminal(status)))
    await new Promise((r) => setTimeout(r, 50));
  const ended = await read(second.url);
  expect(ended.map(({ status, outputs }) => [status, outputs.length])).toEqual(ended.map(() => ["succeeded", 1]));
  await interrupt(second);
}, 120_000);
