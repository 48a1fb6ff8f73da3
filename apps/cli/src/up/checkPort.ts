import { once } from "node:events";
import { createServer } from "node:net";
import { sleep } from "@comfyq/runtime";
import { CliError } from "../CliError.ts";

const LOOK_EVERY_MS = 200;

/**
 * Makes sure, before anything is started, that the API will be able to listen. Port 0 always will.
 * @param patienceMs how long to wait for a port that is taken: what a crashed run left behind lets go of it in seconds
 * @throws CliError `broken` that says what to do
 */
export async function checkPort(host: string, port: number, patienceMs: number): Promise<void> {
  if (port === 0) return;
  for (let waitedMs = 0; ; waitedMs += LOOK_EVERY_MS) {
    const fault = await tryToListen(host, port);
    if (fault === undefined) return;
    if (fault !== "EADDRINUSE" || waitedMs >= patienceMs) throw cannotListen(host, port, fault);
    await sleep(LOOK_EVERY_MS);
  }
}

function cannotListen(host: string, port: number, fault: string): CliError {
  if (fault === "EADDRINUSE") {
    const advice = `Choose another:  COMFYQ_PORT=${port + 1} npm start   (0 picks a free one)`;
    return new CliError("broken", `Port ${port} of ${host} is taken by another process.\n${advice}`);
  }
  const why =
    fault === "EACCES" ? "this port is for root only" : `${fault}: is COMFYQ_HOST an address of this machine?`;
  return new CliError("broken", `Nothing can listen on ${host}:${port} (${why})`);
}

/** @returns the system's error code; undefined when all is well */
export async function tryToListen(host: string, port: number): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, "listening");
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
  server.close();
  await once(server, "close");
  return undefined;
}
