import { createHash } from "node:crypto";
import type { Redis } from "ioredis";

/** A script that Redis keeps under its digest: the text travels once, and then never again. */
interface LuaScript {
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

/** A script whose keys and values have names: `<name>Key` and `<name>`; what follows those begins at FIRST_KEY and FIRST_VALUE. */
export interface NamedScript<Key extends string, Value extends string> extends LuaScript {
  readonly keys: readonly Key[];
  readonly values: readonly Value[];
}

/** Writes the names before the text, so that neither half counts. */
export function namedScript<const Key extends string, const Value extends string>(
  { keys, values }: { readonly keys: readonly Key[]; readonly values: readonly Value[] },
  text: string,
): NamedScript<Key, Value> {
  const names = [
    `local FIRST_KEY, FIRST_VALUE = ${keys.length + 1}, ${values.length + 1}`,
    `local ${keys.map((key) => `${key}Key`).join(", ")} = unpack(KEYS, 1, ${keys.length})`,
    `local ${values.join(", ")} = unpack(ARGV, 1, ${values.length})`,
  ];
  return { keys, values, ...luaScript(`${names.join("\n")}\n${text}`) };
}

interface NamedArguments<Key extends string, Value extends string> {
  readonly keys: Readonly<Record<Key, string>>;
  readonly moreKeys?: readonly string[];
  readonly values: Readonly<Record<Value, ScriptArgument>>;
  readonly moreValues?: readonly ScriptArgument[];
}

export function runNamed<Key extends string, Value extends string>(
  redis: Redis,
  script: NamedScript<Key, Value>,
  { keys, moreKeys = [], values, moreValues = [] }: NamedArguments<Key, Value>,
): Promise<unknown> {
  const allKeys = [...script.keys.map((name) => keys[name]), ...moreKeys];
  return runScript(redis, script, allKeys, [...script.values.map((name) => values[name]), ...moreValues]);
}
