import { createHash } from "node:crypto";
import type { Redis } from "ioredis";

/** A script that Redis keeps under its digest: the text travels once, and then never again. */
export interface LuaScript {
  readonly text: string;
  readonly sha1: string;
}

export function luaScript(text: string): LuaScript {
  return { text, sha1: createHash("sha1").update(text).digest("hex") };
}

type ScriptArgument = string | number | Buffer;

/** Runs a script; sends its text when this Redis does not know it (yet, or any more: a restart forgets scripts). */
export async function runScript(
  redis: Redis,
  { text, sha1 }: LuaScript,
  keys: readonly string[],
  values: readonly ScriptArgument[],
): Promise<unknown> {
  try {
    return await redis.evalsha(sha1, keys.length, ...keys, ...values);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
    return redis.eval(text, keys.length, ...keys, ...values);
  }
}
