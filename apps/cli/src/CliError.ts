/** How the process ends, as a script sees it. */
export const EXIT = {
  succeeded: 0,
  failed: 1,
  badInput: 2,
  canceled: 3,
  expired: 4,
  unreachable: 5,
  detached: 130, // as a shell tells of Ctrl-C
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** `bad_input`: what was typed or given; `refused`: the API said no; `unreachable`: nobody answered; `broken`: the rest. */
export type CliErrorCode = "bad_input" | "refused" | "unreachable" | "broken";

const EXIT_OF: Readonly<Record<CliErrorCode, ExitCode>> = {
  bad_input: EXIT.badInput,
  refused: EXIT.failed,
  unreachable: EXIT.unreachable,
  broken: EXIT.failed,
};

/** Something a human must read: shown as its message, without a stack. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly code: CliErrorCode;
  readonly exitCode: ExitCode;

  constructor(code: CliErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.exitCode = EXIT_OF[code];
  }
}
