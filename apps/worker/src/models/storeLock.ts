import { open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { sleep } from "@comfyq/runtime";
import { isSystemError } from "./isSystemError.ts";
import type { Owner } from "./owner.ts";

const LOCK_FILE = /^lock\.(\d+)$/;
const LOOK_AGAIN_MS = 20;
/** Work under the lock takes milliseconds: who has held it for so long is dead. */
const STALE_MS = 10_000;

interface LockOptions {
  readonly folder: string;
  readonly owner: Owner;
  readonly timeScale: number;
  readonly signal: AbortSignal;
}

/**
 * Does one short thing while no other process that shares the folder does.
 *
 * The lock is the file `lock.<n>` of the highest n, made so that only one can make it. When its holder died, the next one
 * takes `lock.<n+1>`; the dead one's file stays, for nobody could remove it without perhaps removing a living one's.
 * @throws the signal's reason when aborted before the lock was had
 */
export async function underLock<T>(
  options: LockOptions,
  act: (isHeld: () => Promise<boolean>) => Promise<T>,
): Promise<T> {
  const path = await take(options);
  const isHeld = async () => !(await isStale(path, options));
  try {
    return await act(isHeld);
  } finally {
    // A process that slept meanwhile leaves it: the numbers of the living begin above it.
    if (await isHeld().catch(() => false)) await rm(path, { force: true });
  }
}

async function take(options: LockOptions): Promise<string> {
  const { folder, signal } = options;
  for (;;) {
    signal.throwIfAborted();
    const number = highest(await readdir(folder));
    const isDead = await isStale(join(folder, `lock.${number}`), options).catch(() => undefined); // undefined: let go now
    const path = join(folder, `lock.${isDead ? number + 1 : Math.max(number, 0)}`);
    if (isDead !== false && (await isMade(path))) return path;
    await sleep(LOOK_AGAIN_MS, signal);
  }
}

async function isStale(path: string, { owner, timeScale }: LockOptions): Promise<boolean> {
  const { mtimeMs } = await stat(path);
  return (await owner.now()) - mtimeMs >= STALE_MS * timeScale;
}

/** -1 when there is none. */
function highest(names: readonly string[]): number {
  return Math.max(-1, ...names.map((name) => Number(LOCK_FILE.exec(name)?.[1] ?? -1)));
}

async function isMade(path: string): Promise<boolean> {
  try {
    await (await open(path, "wx")).close();
    return true;
  } catch (error) {
    if (isSystemError(error, "EEXIST")) return false;
    throw error;
  }
}
