import { readFile } from "node:fs/promises";
import { sleep } from "@comfyq/runtime";
import * as z from "zod";
import { CliError } from "../CliError.ts";
import { pingRedis, type RedisAddress, shutDownRedis } from "./redisPing.ts";

const Address = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("socket"), path: z.string() }),
  z.object({ kind: z.literal("port"), port: z.int(), password: z.string() }),
]);

const PING_MS = 2_000;
const LOOK_EVERY_MS = 100;

/**
 * Ends the private Redis that a crashed launcher left running in this data folder: a second one on the same AOF would
 * write over it. The address says whether it is ours: our socket, or our password.
 * @returns whether there was one
 * @throws CliError `broken` when it does not go
 */
export async function endLeftoverRedis(addressFile: string, pidFile: string, patienceMs: number): Promise<boolean> {
  const address = await readAddress(addressFile);
  if (!address || !(await isThere(address))) return false;
  await shutDownRedis(address, PING_MS);
  for (let waitedMs = 0; await isThere(address); waitedMs += LOOK_EVERY_MS) {
    if (waitedMs >= patienceMs) throw await stillThere(pidFile);
    await sleep(LOOK_EVERY_MS);
  }
  return true;
}

async function isThere(address: RedisAddress): Promise<boolean> {
  const state = await pingRedis(address, PING_MS);
  // Somebody else's server may sit on our old port by now; ours knows its password.
  return state !== "absent" && !(address.kind === "port" && state === "refused");
}

async function stillThere(pidFile: string): Promise<CliError> {
  const pid = (await readFile(pidFile, "utf8").catch(() => "")).trim();
  const who = pid ? `process ${pid}; end it with: kill -9 ${pid}` : `its process id should stand in ${pidFile}`;
  return new CliError("broken", `A Redis from an earlier run still holds this data folder and does not end (${who})`);
}

async function readAddress(path: string): Promise<RedisAddress | undefined> {
  try {
    return Address.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined; // none yet, or cut short by a full disk: then Redis was never started with it
  }
}
