/** What can go wrong in the simulator itself, as opposed to what it simulates. */
export type SimulatorErrorCode = "bad_option" | "bad_fault" | "bad_picture" | "port_taken";

/** The simulator's one error class: compare `code`. */
export class SimulatorError extends Error {
  readonly code: SimulatorErrorCode;

  constructor(code: SimulatorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SimulatorError";
    this.code = code;
  }
}
