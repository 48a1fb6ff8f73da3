import type { Fault, FaultKind } from "./faults/Fault.ts";
import type { PendingFault } from "./faults/FaultBoard.ts";
import { Simulation } from "./Simulation.ts";
import { resolveOptions, type SimulatorOptions } from "./SimulatorOptions.ts";
import type { SimulatorStats } from "./Stats.ts";

/** A running simulator. */
export interface Simulator extends AsyncDisposable {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  /** The folder that holds `input`, `output`, `temp` and `models`. */
  readonly dir: string;
  readonly faults: {
    /** Adds a fault and returns its id. @throws SimulatorError `bad_fault` */
    readonly add: (fault: Fault) => number;
    readonly remove: (id: number) => void;
    /** Removes all faults (or one kind), and undoes what lasts of them. */
    readonly clear: (kind?: FaultKind) => void;
    readonly list: () => readonly PendingFault[];
  };
  readonly stats: () => SimulatorStats;
  /** Forgets everything in memory, drops all connections, wipes `temp`; back on the same port after `downMs`. */
  readonly restart: (downMs?: number) => Promise<void>;
  /** Stops; nothing that was pending is told to anybody. */
  readonly close: () => Promise<void>;
}

/**
 * Starts a ComfyUI without a GPU in this process.
 * @throws SimulatorError `bad_option` | `bad_fault` | `port_taken`
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const resolved = resolveOptions(options);
  const simulation = new Simulation(resolved);
  const { faults, stats } = simulation.parts;
  const close = (): Promise<void> => simulation.close();
  try {
    await simulation.listen();
  } catch (cause) {
    await close();
    throw cause;
  }
  return {
    url: `http://${resolved.host}:${simulation.port}`,
    port: simulation.port,
    dir: resolved.dir,
    faults: {
      add: (fault) => faults.add(fault),
      remove: (id) => faults.remove(id),
      clear: (kind) => faults.clear(kind),
      list: () => faults.list(),
    },
    stats: () => stats.snapshot(),
    restart: (downMs) => simulation.restart(downMs),
    close,
    [Symbol.asyncDispose]: close,
  };
}
