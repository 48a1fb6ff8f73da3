import { type Running, startProcess } from "../test/processes.ts";
import type { HistoryFile } from "./historyFile.ts";

type ProcessKind = Parameters<typeof startProcess>[0];

/** One process of the product and whoever keeps it running: ended against our will, it is started again. */
export interface Actor {
  readonly name: string;
  /** Undefined while it is not running. */
  pid(): number | undefined;
  /** How often it was started so far. */
  lives(): number;
  /** Ends it; it stays away until `start`. Nothing happens when it is away already. */
  stop(signal: NodeJS.Signals): Promise<void>;
  /**
   * Lets it run again; resolves at once.
   * @param env for its next life only: FAILPOINT, or what it shall be broken by
   */
  start(env?: Readonly<Record<string, string>>): void;
  /** Sends a signal that does not end it: SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void;
  /** Resolves when it runs and is ready. */
  whenUp(): Promise<void>;
  /** What its latest lives logged. */
  log(): string;
  /** Ends it for good. */
  close(): Promise<void>;
}

export interface ActorOptions {
  readonly name: string;
  readonly kind: ProcessKind;
  readonly env: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly history: HistoryFile;
  /** Told of an end that nobody wanted. */
  readonly onTrouble: (what: string) => void;
}

/** Before an ended process is started again, as a container runtime would. */
const RESTART_MS = 200;
/** How much of its log is kept, in characters. */
const LOG_LENGTH = 200_000;

interface Life {
  pid: number | undefined;
  /** Undefined until it is ready. */
  running: Running | undefined;
  isWanted: boolean;
  isClosed: boolean;
  /** Of its lives before this one. */
  log: string;
  /** Lives so far. */
  count: number;
}

/** Starts a process and keeps it running. */
export function startActor(options: ActorOptions): Actor {
  const { name } = options;
  const life: Life = { pid: undefined, running: undefined, isWanted: true, isClosed: false, log: "", count: 0 };
  let nextEnv: Readonly<Record<string, string>> = {};
  let up = Promise.withResolvers<void>();
  let wake = Promise.withResolvers<void>();
  const kill = (signal: NodeJS.Signals) => {
    if (life.pid === undefined) return;
    try {
      process.kill(life.pid, signal);
    } catch {} // it ended a moment ago
  };
  const oneLife = async () => {
    const env = { ...options.env, ...nextEnv };
    nextEnv = {};
    const onSpawn = (pid: number) => {
      life.pid = pid;
      life.count += 1;
      if (!life.isWanted) kill("SIGKILL");
    };
    const onReady = (running: Running) => {
      life.running = running;
      up.resolve();
    };
    const { code, log } = await liveOnce(options, { env, onSpawn, onReady });
    const pid = life.pid ?? 0;
    Object.assign(life, { pid: undefined, running: undefined, log: (life.log + log).slice(-LOG_LENGTH) });
    up = Promise.withResolvers();
    options.history.note("harness", { op: "process_ended", pid, name, kind: options.kind, wanted: !life.isWanted });
    if (life.isWanted && code !== null) options.onTrouble(`${name} ended by itself (${code}): ${tail(log)}`);
  };
  const loop = (async () => {
    for (;;) {
      while (!life.isWanted && !life.isClosed) await wake.promise;
      if (life.isClosed) return;
      await oneLife();
      if (life.isWanted) await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
    }
  })();
  const gone = async () => {
    while (life.pid !== undefined) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  return {
    name,
    pid: () => life.pid,
    lives: () => life.count,
    stop: async (signal) => {
      life.isWanted = false;
      kill(signal);
      await gone();
    },
    start: (env = {}) => {
      nextEnv = env;
      life.isWanted = true;
      wake.resolve();
      wake = Promise.withResolvers();
    },
    signal: kill,
    whenUp: async () => {
      while (life.pid === undefined) await new Promise((resolve) => setTimeout(resolve, 10));
      await up.promise;
    },
    log: () => life.log + (life.running?.log() ?? ""),
    close: async () => {
      life.isWanted = false;
      life.isClosed = true;
      wake.resolve();
      kill("SIGKILL");
      await loop;
    },
  };
}

interface LifePlan {
  readonly env: Readonly<Record<string, string>>;
  readonly onSpawn: (pid: number) => void;
  readonly onReady: (running: Running) => void;
}

/** From its start to its end. @returns its exit code (null: by a signal; undefined: before it was ready) and its log */
async function liveOnce(
  { kind, name, args, history }: ActorOptions,
  { env, onSpawn, onReady }: LifePlan,
): Promise<{ readonly code: number | null | undefined; readonly log: string }> {
  const noteStart = (pid: number) => {
    history.note("harness", { op: "process_started", pid, name, kind });
    onSpawn(pid);
  };
  try {
    const running = await startProcess(kind, { env, ...(args ? { args } : {}), onSpawn: noteStart });
    onReady(running);
    return { code: await running.ended(), log: running.log() };
  } catch (error) {
    return { code: undefined, log: String(error) };
  }
}

function tail(log: string): string {
  return log.trimEnd().split("\n").slice(-4).join("\n").slice(-800);
}
