import { orUnavailable, QueueError } from "./errors.ts";
import { luaScript, runScript } from "./luaScript.ts";
import type { QueueRoom } from "./room.ts";

export interface NewNote {
  readonly name: string;
  readonly text: string;
  readonly limits: NoteLimits;
}

interface NoteLimits {
  /** On this shelf. */
  readonly notes: number;
  /** Of all texts on this shelf together. */
  readonly bytes: number;
}

/** Small texts that a tenant keeps with us, on named shelves: settings, names of files, workflows of an editor. */
export interface Notes {
  get(tenant: string, shelf: string, name: string): Promise<string | undefined>;
  /** Those of these names that are there. */
  some(tenant: string, shelf: string, names: readonly string[]): Promise<Readonly<Record<string, string>>>;
  all(tenant: string, shelf: string): Promise<Readonly<Record<string, string>>>;
  /** @throws QueueError `conflict` when the shelf is */
  put(tenant: string, shelf: string, note: NewNote): Promise<void>;
  /** @returns false when there was none */
  remove(tenant: string, shelf: string, name: string): Promise<boolean>;
}

/** The size of a shelf is kept beside it, so that nobody has to read it all to know. */
const PUT = luaScript(`
local old = redis.call("HGET", KEYS[1], ARGV[1])
if not old and redis.call("HLEN", KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
local grown = #ARGV[2] - (old and #old or 0)
local size = tonumber(redis.call("GET", KEYS[2]) or "0")
if grown > 0 and size + grown > tonumber(ARGV[4]) then return 0 end
redis.call("HSET", KEYS[1], ARGV[1], ARGV[2])
redis.call("INCRBY", KEYS[2], grown)
return 1
`);

const REMOVE = luaScript(`
local old = redis.call("HGET", KEYS[1], ARGV[1])
if not old then return 0 end
redis.call("HDEL", KEYS[1], ARGV[1])
redis.call("DECRBY", KEYS[2], #old)
return 1
`);

export function openNotes({ redis, names }: QueueRoom): Notes {
  const keysOf = (tenant: string, shelf: string) => [names.notes(tenant, shelf), names.notesSize(tenant, shelf)];
  return {
    get: async (tenant, shelf, name) =>
      (await orUnavailable("a note was read", redis.hget(names.notes(tenant, shelf), name))) ?? undefined,
    some: async (tenant, shelf, wanted) => {
      if (wanted.length === 0) return {};
      const texts = await orUnavailable("notes were read", redis.hmget(names.notes(tenant, shelf), ...wanted));
      return Object.fromEntries(wanted.flatMap((name, at) => (texts[at] == null ? [] : [[name, texts[at]]])));
    },
    all: (tenant, shelf) => orUnavailable("notes were read", redis.hgetall(names.notes(tenant, shelf))),
    put: async (tenant, shelf, { name, text, limits }) => {
      const values = [name, text, limits.notes, limits.bytes];
      const isPut = await orUnavailable("a note was kept", runScript(redis, PUT, keysOf(tenant, shelf), values));
      if (isPut !== 1)
        throw new QueueError(
          "conflict",
          `No more fits: at most ${limits.notes} of them, and ${limits.bytes} bytes; remove some`,
        );
    },
    remove: async (tenant, shelf, name) =>
      (await orUnavailable("a note was removed", runScript(redis, REMOVE, keysOf(tenant, shelf), [name]))) === 1,
  };
}
