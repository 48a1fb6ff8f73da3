import { type ChildProcess, spawn } from "node:child_process";
import { withDeadline } from "@comfyq/runtime";
import { orAborted } from "../orAborted.ts";

/** Of the command's output, what is kept for the log. */
const MOST_OUTPUT = 500;

interface CommandOptions {
  /** Its whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Then it is killed, with everything it started that still is in its process group. */
  readonly withinMs: number;
  readonly signal: AbortSignal;
}

/** What came of it. */
export interface CommandEnd {
  /** Its exit code; null when a signal ended it, or the deadline. */
  readonly code: number | null;
  /** The last that it said: one line, without control characters. */
  readonly output: string;
}

/**
 * Runs the operator's command through the shell, in a process group of its own. What it starts in the background lives on
 * after it has ended.
 * @throws the signal's reason, after the group was killed
 */
export async function runRestartCommand(command: string, options: CommandOptions): Promise<CommandEnd> {
  const { env, withinMs, signal } = options;
  signal.throwIfAborted();
  const child = spawn("/bin/sh", ["-c", command], { env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-4 * MOST_OUTPUT);
    });
  // "exit", not "close": a server that it starts in the background keeps the pipes open.
  const exited = new Promise<number | null>((resolve) => {
    child.once("error", () => resolve(null)); // no shell: nothing ran
    child.once("exit", resolve);
  });
  const code = await orAborted(exited, withDeadline(signal, withinMs)).catch(() => {
    killGroup(child);
    return null;
  });
  signal.throwIfAborted();
  return { code, output: oneLine(said) };
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // it ended by itself a moment ago
  }
}

function oneLine(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, " ")
    .trim()
    .slice(-MOST_OUTPUT);
}
