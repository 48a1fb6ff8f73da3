import type { SimulatorClock } from "../clock.ts";

/** One line of the server's output, as `/internal/logs/raw` and `logs` frames show it. */
export interface LogEntry {
  /** ISO time. */
  readonly t: string;
  readonly m: string;
}

const MOST_LINES = 300;

/** The last 300 lines that the server wrote (app/logger.py). */
export class ServerLog {
  readonly #clock: SimulatorClock;
  readonly #entries: LogEntry[] = [];
  onLine: (entry: LogEntry) => void = () => {};

  constructor(clock: SimulatorClock) {
    this.#clock = clock;
  }

  get entries(): readonly LogEntry[] {
    return this.#entries;
  }

  write(line: string): void {
    const entry = { t: new Date(this.#clock.nowMs()).toISOString(), m: `${line}\n` };
    this.#entries.push(entry);
    if (this.#entries.length > MOST_LINES) this.#entries.shift();
    this.onLine(entry);
  }
}
