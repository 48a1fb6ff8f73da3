import { execFile } from "node:child_process";
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import * as z from "zod";
import { CliError } from "../CliError.ts";

/** Who holds a data folder. Process ids come round again, so the moment that process began belongs to it. */
const Holder = z.object({ pid: z.int().positive(), began: z.string() });
type Holder = z.infer<typeof Holder>;

/** A data folder that is ours until `release`. */
export interface DataLock {
  /** True when the one before us never released it: it crashed, and may have left processes behind. */
  readonly wasLeftBehind: boolean;
  readonly release: () => Promise<void>;
}

/**
 * Takes a data folder for this process: two systems on one folder would share a Redis and both would be wrong about it.
 * @throws CliError `broken` while another process that is alive holds it
 */
export async function takeDataLock(folder: string): Promise<DataLock> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, "comfyq.lock");
  const draft = `${path}.${process.pid}`;
  const ours = JSON.stringify({ pid: process.pid, began: await whenBegan(process.pid) });
  await writeFile(draft, ours, { mode: 0o600 });
  let wasLeftBehind = false;
  try {
    while (!(await tryLink(draft, path))) {
      await removeStale(path, folder);
      wasLeftBehind = true;
    }
  } finally {
    await rm(draft, { force: true });
  }
  const release = async (): Promise<void> => {
    if ((await readText(path)) === ours) await rm(path, { force: true });
  };
  return { wasLeftBehind, release };
}

/** Puts the finished file under its name, where there is none yet: nobody can read half of it. */
async function tryLink(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

async function removeStale(path: string, folder: string): Promise<void> {
  const text = await readText(path);
  if (text === undefined) return;
  const holder = parseHolder(text);
  if (holder && (await isAlive(holder))) throw heldBy(holder, folder);
  const aside = `${path}.stale.${process.pid}`;
  await rename(path, aside).catch(() => undefined);
  const taken = await readText(aside);
  // Another starter may have been quicker, and what we moved aside was its lock: then it goes back.
  if (taken !== undefined && taken !== text) {
    await link(aside, path).catch(() => undefined);
    await rm(aside, { force: true });
    throw heldBy(parseHolder(taken), folder);
  }
  await rm(aside, { force: true });
}

function heldBy(holder: Holder | undefined, folder: string): CliError {
  return new CliError(
    "broken",
    `Another comfyq (process ${holder?.pid ?? "unknown"}) already runs on ${folder}.\n` +
      "Stop that one first, or start this one elsewhere: COMFYQ_PORT=0 COMFYQ_DATA_DIR=./data2 npm start",
  );
}

function readText(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch(() => undefined);
}

function parseHolder(text: string): Holder | undefined {
  try {
    return Holder.parse(JSON.parse(text));
  } catch {
    return undefined; // not one of ours, or cut short by a full disk: nobody can be holding it
  }
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EPERM")) return false;
  }
  return (await whenBegan(holder.pid)) === holder.began;
}

/**
 * When a process began, in words that only it has: boot and ticks since then (proc(5), field 22 of stat), elsewhere what
 * ps says; "" when nobody tells.
 */
async function whenBegan(pid: number): Promise<string> {
  const stat = await readText(`/proc/${pid}/stat`);
  if (stat !== undefined) {
    // The name in field 2 may hold spaces and brackets: count from behind the last one.
    const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return `${(await readText("/proc/sys/kernel/random/boot_id"))?.trim() ?? ""} ${ticks}`;
  }
  const asked = promisify(execFile)("ps", ["-o", "lstart=", "-p", String(pid)]);
  return asked.then(({ stdout }) => stdout.trim()).catch(() => "");
}
