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

/** Starts a process and keeps it running. */
export function startActor(options: ActorOptions): Actor {
  const life = new Lives(options);
  const loop = life.goOn();
  return {
    name: options.name,
    pid: () => life.pid,
    lives: () => life.count,
    stop: async (signal) => {
      life.want(false);
      life.kill(signal);
      while (life.pid !== undefined) await pause(LOOK_EVERY_MS);
    },
    start: (env = {}) => {
      life.nextEnv = env;
      life.want(true);
    },
    signal: (signal) => life.kill(signal),
    whenUp: async () => {
      while (life.running === undefined) await pause(LOOK_EVERY_MS);
    },
    log: () => life.log + (life.running?.log() ?? ""),
    close: async () => {
      life.isClosed = true;
      life.want(false);
      life.kill("SIGKILL");
      await loop;
    },
  };
}

const LOOK_EVERY_MS = 10;

/** The lives of one process, one after the other. */
class Lives {
  pid: number | undefined;
  /** Undefined until it is ready. */
  running: Running | undefined;
  isClosed = false;
  /** What its earlier lives logged. */
  log = "";
  count = 0;
  nextEnv: Readonly<Record<string, string>> = {};
  #isWanted = true;
  #wake = Promise.withResolvers<void>();
  readonly #options: ActorOptions;

  constructor(options: ActorOptions) {
    this.#options = options;
  }

  want(isWanted: boolean): void {
    this.#isWanted = isWanted;
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  kill(signal: NodeJS.Signals): void {
    if (this.pid === undefined) return;
    try {
      process.kill(this.pid, signal);
    } catch {} // it ended a moment ago
  }

  /** Lives whenever it is wanted, until it is closed. */
  async goOn(): Promise<void> {
    while (!this.isClosed) {
      if (!this.#isWanted) await this.#wake.promise;
      else if (await this.#liveOnce()) await pause(RESTART_MS);
    }
  }

  /** From its start to its end. @returns is it still wanted? */
  async #liveOnce(): Promise<boolean> {
    const { name, kind, history, onTrouble } = this.#options;
    const env = { ...this.#options.env, ...this.nextEnv };
    this.nextEnv = {};
    const onSpawn = (pid: number) => {
      this.pid = pid;
      this.count += 1;
      history.note("harness", { op: "process_started", pid, name, kind });
      if (!this.#isWanted) this.kill("SIGKILL");
    };
    const onReady = (running: Running) => {
      this.running = running;
    };
    const { code, log } = await liveOnce(this.#options, { env, onSpawn, onReady });
    const pid = this.pid ?? 0;
    this.log = (this.log + log).slice(-LOG_LENGTH);
    history.note("harness", { op: "process_ended", pid, name, kind, wanted: !this.#isWanted });
    this.pid = undefined;
    this.running = undefined;
    if (this.#isWanted && code !== null) onTrouble(`${name} ended by itself (${code}): ${tail(log)}`);
    return this.#isWanted;
  }
}

interface LifePlan {
  readonly env: Readonly<Record<string, string>>;
  readonly onSpawn: (pid: number) => void;
  readonly onReady: (running: Running) => void;
}

/** @returns its exit code (null: by a signal; undefined: before it was ready) and its log */
async function liveOnce(
  { kind, args }: ActorOptions,
  { env, onSpawn, onReady }: LifePlan,
): Promise<{ readonly code: number | null | undefined; readonly log: string }> {
  try {
    const running = await startProcess(kind, { env, ...(args ? { args } : {}), onSpawn });
    onReady(running);
    return { code: await running.ended(), log: running.log() };
  } catch (error) {
    return { code: undefined, log: String(error) };
  }
}

function tail(log: string): string {
  return log.trimEnd().split("\n").slice(-4).join("\n").slice(-800);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
