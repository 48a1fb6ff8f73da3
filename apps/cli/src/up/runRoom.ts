import { spawn } from "node:child_process";
import { once } from "node:events";
import { EXIT, type ExitCode } from "../CliError.ts";
import { inheritedEnv } from "../config.ts";
import { roomProgram } from "./processes.ts";

/** Runs one room's program in the foreground, as if it had been started itself; arguments go to it as they are. */
export async function runRoom(room: string, args: readonly string[]): Promise<ExitCode> {
  const program = roomProgram(room);
  const env = { ...inheritedEnv(), COMFYQ_DIE_WITH_PARENT: String(process.pid) };
  const child = spawn(program.path, [...program.args, ...args], { env, stdio: "inherit" });
  // It hears the terminal's Ctrl-C itself; a signal that was sent to us alone must reach it too.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => child.kill(name));
  const [code] = await once(child, "exit");
  return code === 0 ? EXIT.succeeded : EXIT.failed;
}
