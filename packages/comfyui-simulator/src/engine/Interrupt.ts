/** A node was interrupted (comfy.model_management.InterruptProcessingException). */
export class Interrupted extends Error {
  constructor() {
    super("interrupted");
    this.name = "Interrupted";
  }
}

/** The one interrupt flag of a server: it is not tied to a prompt, and is cleared when a prompt starts. */
export class InterruptFlag {
  #controller = new AbortController();

  get isSet(): boolean {
    return this.#controller.signal.aborted;
  }

  set(): void {
    this.#controller.abort();
  }

  clear(): void {
    if (this.isSet) this.#controller = new AbortController();
  }

  /** Aborts when the flag is set; a new one after each {@link clear}. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** @throws Interrupted, and clears the flag, when it is set */
  check(): void {
    if (!this.isSet) return;
    this.clear();
    throw new Interrupted();
  }
}
