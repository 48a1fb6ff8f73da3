import { EnvError } from "@comfyq/runtime";
import { CommanderError } from "commander";
import { CliError, EXIT, type ExitCode } from "./CliError.ts";
import { createProgram } from "./program.ts";

/** Tells a human what went wrong; a stack only for what should not happen at all. */
function tell(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.succeeded : EXIT.badInput; // it has told it
  if (error instanceof CliError) {
    process.stderr.write(`${error.message}\n`);
    return error.exitCode;
  }
  if (error instanceof EnvError) {
    process.stderr.write(`${error.message}\n\`comfyq up --help\` lists all settings.\n`);
    return process.argv[2] === "up" ? EXIT.failed : EXIT.badInput;
  }
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return EXIT.failed;
}

/** Does what the arguments of this process say, tells what went wrong, and exits. */
export async function runCommandLine(): Promise<never> {
  let exitCode: ExitCode = EXIT.succeeded;
  try {
    await createProgram((code) => {
      exitCode = code;
    }).parseAsync();
  } catch (error) {
    exitCode = tell(error);
  }
  // Exits by itself: sockets kept open for the next request would hold the process for seconds.
  process.exit(exitCode);
}
