import { type Fault, type FaultKind, LASTING_FAULTS, STAGED_FAULTS, type Stage } from "./Fault.ts";
import { defaultStage, isOneOf, parseFault } from "./parseFault.ts";

/** A fault that is still to strike. */
export interface PendingFault extends Fault {
  readonly id: number;
  /** How often it may still strike; null = until cleared. */
  readonly left: number | null;
}

/** What is happening, for a fault to compare itself with. */
export interface Occasion {
  readonly promptId?: string;
  readonly nodeClass?: string;
}

interface Entry {
  readonly id: number;
  readonly fault: Fault;
  left: number;
  seen: number;
}

/** The faults that are still to strike. They are kept over {@link Simulator.restart}. */
export class FaultBoard {
  readonly #entries = new Map<number, Entry>();
  readonly #onClear: () => void;
  #nextId = 1;

  /** @param onClear called when faults are cleared, to undo what lasts: silent sockets, answers that hang */
  constructor(onClear: () => void = () => {}) {
    this.#onClear = onClear;
  }

  /**
   * Adds a fault and returns its id, to {@link remove} it.
   * @throws SimulatorError `bad_fault`
   */
  add(fault: Fault): number {
    const checked = parseFault(fault);
    const id = this.#nextId++;
    const left = checked.times ?? (isOneOf(LASTING_FAULTS, checked.kind) ? Number.POSITIVE_INFINITY : 1);
    this.#entries.set(id, { id, fault: checked, left, seen: 0 });
    return id;
  }

  remove(id: number): void {
    this.#entries.delete(id);
  }

  /** Removes all faults, or all of one kind; silent sockets and stopped frames go on, hanging answers break off. */
  clear(kind?: FaultKind): void {
    for (const { id, fault } of this.#entries.values()) if (!kind || fault.kind === kind) this.remove(id);
    this.#onClear();
  }

  /** In the order in which they were added. */
  list(): readonly PendingFault[] {
    return [...this.#entries.values()].map(({ id, fault, left }) => ({
      ...fault,
      id,
      left: Number.isFinite(left) ? left : null,
    }));
  }

  /** Takes the first fault of a kind that fits, and counts that it has struck. */
  strike(kind: FaultKind, occasion: Occasion = {}): Fault | undefined {
    const entry = [...this.#entries.values()].find(({ fault }) => fault.kind === kind && fits(fault, occasion));
    return entry && this.#use(entry);
  }

  /** Takes every staged fault whose moment has come. */
  strikeAt(stage: Stage, occasion: Occasion): readonly Fault[] {
    const struck: Fault[] = [];
    for (const entry of [...this.#entries.values()]) {
      const { fault } = entry;
      if (!isOneOf(STAGED_FAULTS, fault.kind) || !fits(fault, occasion)) continue;
      if ((fault.at ?? defaultStage(fault.kind)) !== stage) continue;
      if (++entry.seen >= (fault.after ?? 1)) struck.push(this.#use(entry));
    }
    return struck;
  }

  /** Takes the first HTTP fault for a request. */
  strikeRequest(
    request: { readonly method: string; readonly path: string },
    when: "before" | "after",
  ): Fault | undefined {
    const entry = [...this.#entries.values()].find(
      ({ fault }) =>
        fault.kind.startsWith("http_") &&
        momentOf(fault) === when &&
        (fault.method === undefined || fault.method === request.method) &&
        pathFits(fault.path ?? "", request.path),
    );
    return entry && this.#use(entry);
  }

  #use(entry: Entry): Fault {
    entry.left -= 1;
    if (entry.left <= 0) this.remove(entry.id);
    return entry.fault;
  }
}

/** An answer can be cut off only when there is one. */
function momentOf({ kind, when }: Fault): "before" | "after" {
  return kind === "http_cut" || kind === "http_stall" ? "after" : (when ?? "before");
}

function fits(fault: Fault, occasion: Occasion): boolean {
  if (fault.promptId !== undefined && fault.promptId !== occasion.promptId) return false;
  return fault.nodeClass === undefined || fault.nodeClass === occasion.nodeClass;
}

function pathFits(pattern: string, path: string): boolean {
  return pattern.endsWith("*") ? path.startsWith(pattern.slice(0, -1)) : pattern === path;
}
