import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A fixture as a child process, killed when it goes out of scope. */
export interface Running extends Disposable {
  readonly child: ChildProcess;
  /** The JSON lines it wrote so far, on either output; `stray` is all the rest. */
  readonly lines: readonly Record<string, unknown>[];
  /** Resolves when it has written a line with this message; rejects when it ended without. */
  until(msg: string): Promise<void>;
  /** How it ended, once all its output has come. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null; readonly stray: string }>;
}

const node = fileURLToPath(new URL("../../../node_modules/.bin/node", import.meta.url));

/** What a fixture may be started with. */
export interface FixtureOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** File descriptor its log goes to, instead of into `lines`. */
  readonly stderr?: number;
}

export function startFixture(file: string, args: readonly string[], { env, stderr }: FixtureOptions = {}): Running {
  const child = spawn(node, ["--conditions=@comfyq/source", file, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", stderr ?? "pipe"],
  });
  const lines: Record<string, unknown>[] = [];
  let stray = "";
  const take = (line: string): void => {
    if (line.startsWith("{")) lines.push(JSON.parse(line));
    else stray += `${line}\n`;
  };
  const readers = [child.stdout, child.stderr]
    .filter((output) => output !== null)
    .map((output) => createInterface(output).on("line", take));
  const ended = once(child, "close").then(() => ({ code: child.exitCode, signal: child.signalCode, stray }));
  const has = (msg: string): boolean => lines.some((line) => line["msg"] === msg);
  const until = (msg: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (has(msg)) resolve();
      };
      for (const reader of readers) reader.on("line", look);
      look();
      void ended.then((end) => reject(new Error(`ended without "${msg}": ${JSON.stringify({ lines, end })}`)));
    });
  return { child, lines, until, ended, [Symbol.dispose]: () => void child.kill("SIGKILL") };
}
