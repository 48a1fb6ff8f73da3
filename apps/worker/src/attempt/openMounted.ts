import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, realpath } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { Readable } from "node:stream";
import { ComfyError, type OutputFile } from "@comfyq/comfyui";
import { nowMs, sleep } from "@comfyq/runtime";
import type { BodySource, ByteSpan } from "@comfyq/storage";

/** A file that was written so lately may still be on its way through a shared file system. */
const FRESH_MS = 2_000;
const SETTLE_MS = 100;
/** How often a fresh file is looked at until two looks in a row agree. */
const MOST_LOOKS = 50;

const READ_BYTES = 131_072;

/**
 * An output in the folder of the instance's outputs, where the operator has mounted it here. A name cannot lead out of the
 * folder, and no link is followed.
 * @returns undefined when it is not there, or does not come to rest: then `/view` has it
 */
export async function openMounted(
  folder: string,
  { filename, subfolder }: Pick<OutputFile, "filename" | "subfolder">,
  signal: AbortSignal,
): Promise<BodySource | undefined> {
  const path = join(folder, ...subfolder.split(/[\\/]/), ...filename.split(/[\\/]/));
  if (!(await isInside(folder, path))) return undefined;
  const first = await atRest(path, signal);
  if (!first) return undefined;
  const check = (stats: Stats) => {
    if (isSame(stats, first)) return;
    throw new ComfyError("busy", `The output ${filename} changed while it was read; it is read again.`);
  };
  return { sizeBytes: first.size, open: (span) => readSpan(path, span, check) };
}

async function readSpan(path: string, span: ByteSpan, check: (stats: Stats) => void): Promise<Readable> {
  const file = await openPlain(path);
  try {
    check(await file.stat());
  } catch (error) {
    await file.close();
    throw error;
  }
  return Readable.from(bytesOf(file, span, check), { objectMode: false });
}

/** The last bytes come only after another look: whoever has them all has them of one version. */
async function* bytesOf(file: FileHandle, { start, end }: ByteSpan, check: (stats: Stats) => void) {
  try {
    for (let at = start; at < end; ) {
      const wanted = Math.min(READ_BYTES, end - at);
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
      at += bytesRead;
      if (at === end || bytesRead === 0) check(await file.stat());
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** O_NONBLOCK: opening a pipe would wait for its writer. */
function openPlain(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

async function isInside(folder: string, path: string): Promise<boolean> {
  try {
    const [root, real] = [await realpath(folder), await realpath(dirname(path))];
    return real === root || real.startsWith(root + sep);
  } catch {
    return false;
  }
}

/** The file when it is a plain one that nobody writes to any more. */
async function atRest(path: string, signal: AbortSignal): Promise<Stats | undefined> {
  let last: Stats | undefined;
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    const stats = await lstat(path).catch(() => undefined);
    if (!stats?.isFile()) return undefined;
    const isOld = nowMs() - stats.mtimeMs > FRESH_MS;
    if (isOld || (last && isSame(last, stats))) return stats;
    last = stats;
    await sleep(SETTLE_MS, signal);
  }
  return undefined;
}

function isSame(left: Stats, right: Stats): boolean {
  return left.ino === right.ino && left.size === right.size && left.mtimeMs === right.mtimeMs;
}
