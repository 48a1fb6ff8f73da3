import { appendFileSync } from "node:fs";
import type { SimulatorClock } from "./clock.ts";
import { SimulatorError } from "./SimulatorError.ts";

/** What a line says beside its time and its actor. */
export type HistoryFacts = Readonly<Record<string, string | number | null | undefined>>;

/**
 * The history of a test, which the processes of a whole system write together: one JSON line for each event,
 * `{t, actor, op, …facts}`, `t` in Unix ms of this machine. A line is written before the event has any effect on others,
 * so a process that is killed right after has told of it; short appends of several processes do not mix.
 */
export class HistoryFile {
  readonly #path: string | undefined;
  readonly #clock: SimulatorClock;
  #always: HistoryFacts = {};
  #actor = "simulator";

  /** @throws SimulatorError `bad_option` when the file cannot be written */
  constructor(path: string | undefined, clock: SimulatorClock) {
    this.#path = path;
    this.#clock = clock;
    if (path === undefined) return;
    try {
      appendFileSync(path, "");
    } catch (cause) {
      throw new SimulatorError("bad_option", `The history ${path} cannot be written; is its folder there?`, { cause });
    }
  }

  /**
   * From here on the lines are of the server at this port, which has just begun to live.
   * @param facts stand in every line
   */
  booted(port: number, facts: HistoryFacts = {}): void {
    this.#actor = `simulator:${port}`;
    this.#always = facts;
    this.note("booted");
  }

  note(op: string, facts: HistoryFacts = {}): void {
    if (this.#path === undefined) return;
    const t = performance.timeOrigin + this.#clock.monotonicMs();
    appendFileSync(this.#path, `${JSON.stringify({ t, actor: this.#actor, op, ...this.#always, ...facts })}\n`);
  }
}
