import { createWriteStream, existsSync, mkdirSync, openSync, renameSync, type WriteStream } from "node:fs";
import { join } from "node:path";

const KEPT_FILES = 3;
const LARGEST_BYTES = 20 * 1024 * 1024;
const TAIL_LINES = 30;

/** The log of one of our processes. */
export interface LogFile {
  readonly path: string;
  /** Adds one line; order is kept. A full disk loses lines, never the process that logs. */
  readonly write: (line: string) => void;
  /** The last lines written by this run. */
  readonly tail: () => readonly string[];
  /** Resolves when everything is on disk. */
  readonly close: () => Promise<void>;
}

/**
 * Opens `<folder>/<name>.log`, new for every run; older ones are kept as `<name>.1.log` (the newest) and so on. A log that
 * grows over 20 MB is turned over while running, for a fleet that is up for months must not fill its disk.
 */
export function openLogFile(folder: string, name: string): LogFile {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${name}.log`);
  const recent: string[] = [];
  let sizeBytes = 0;
  let file = openNew(folder, name);
  return {
    path,
    write(line) {
      recent.push(line);
      if (recent.length > TAIL_LINES) recent.shift();
      if (sizeBytes > LARGEST_BYTES) {
        file.end();
        file = openNew(folder, name);
        sizeBytes = 0;
      }
      sizeBytes += Buffer.byteLength(line) + 1;
      file.write(`${line}\n`);
    },
    tail: () => recent,
    close: () => new Promise((resolve) => file.end(() => resolve())),
  };
}

function openNew(folder: string, name: string): WriteStream {
  turnOver(folder, name);
  const path = join(folder, `${name}.log`);
  // Opened here and now: a stream of its own would open later, when the name may stand for the next file already.
  const file = createWriteStream(path, { fd: openSync(path, "a", 0o600) });
  file.on("error", () => undefined);
  return file;
}

function turnOver(folder: string, name: string): void {
  const numbered = (age: number) => join(folder, age === 0 ? `${name}.log` : `${name}.${age}.log`);
  for (let age = KEPT_FILES - 1; age >= 0; age -= 1) {
    if (existsSync(numbered(age))) renameSync(numbered(age), numbered(age + 1));
  }
}
