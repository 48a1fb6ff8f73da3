import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { sleep } from "@comfyq/runtime";
import { type ChildLine, readChildLine } from "./childLine.ts";

/** A program with its arguments; `env` is the whole environment. */
export interface ChildCommand {
  readonly path: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** True: it gets file descriptor 3, a pipe that ends when we do. For programs that cannot watch their parent. */
  readonly hasLifeline?: boolean;
}

/** The object a process printed when it was up. */
export type ReadyFacts = Readonly<Record<string, unknown>>;

/** One life of a process. */
export interface Run {
  readonly child: ChildProcess;
  /** How it ended, in words; never rejects. */
  readonly ended: Promise<string>;
  /** Never settles when the process prints none. */
  readonly readyLine: Promise<ReadyFacts>;
}

/** Longest we wait for a dead process's last words. */
const LAST_WORDS_MS = 500;

/** Starts a process; `onLine` hears every line it prints, with its meaning. */
export function startRun(command: ChildCommand, onLine: (line: string, meaning: ChildLine) => void): Run {
  const { path, args, env, hasLifeline = false } = command;
  // A session of its own: the terminal's Ctrl-C is for us, who stop them in order. If we are killed, they notice.
  const child = spawn(path, args, {
    env: { ...env },
    detached: true,
    stdio: hasLifeline ? ["ignore", "pipe", "pipe", "pipe"] : ["ignore", "pipe", "pipe"],
  });
  const ready = Promise.withResolvers<ReadyFacts>();
  for (const stream of ["stdout", "stderr"] as const) {
    const input = child[stream];
    if (!input) continue;
    createInterface({ input }).on("line", (line) => {
      const meaning = readChildLine(line, stream);
      onLine(line, meaning);
      if (meaning.kind === "ready") ready.resolve(meaning.facts);
    });
  }
  return { child, ended: untilEnded(child), readyLine: ready.promise };
}

async function untilEnded(child: ChildProcess): Promise<string> {
  const closed = once(child, "close").catch(() => undefined);
  const how = await new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`could not be started: ${error.message}`));
    child.once("exit", (code, signal) => resolve(signal ? `was ended by ${signal}` : `ended with code ${code}`));
  });
  const lifeline = child.stdio[3];
  if (lifeline && "end" in lifeline) {
    lifeline.on("error", () => undefined); // nobody may be at the other end any more
    lifeline.end("\n");
  }
  await Promise.race([closed, sleep(LAST_WORDS_MS)]);
  return how;
}
