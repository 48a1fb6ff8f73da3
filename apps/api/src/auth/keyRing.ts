import { readFile } from "node:fs/promises";
import { KeysFile, type StoredApiKey } from "@comfyq/contract";
import { type Logger, monotonicMs, nowMs } from "@comfyq/runtime";
import { fileVersion } from "../fileVersion.ts";

/** How often the file's date is looked at: a new or a revoked key takes effect within this time. */
const LOOK_EVERY_MS = 1_000;

/** The API keys of this installation, as the keys file has them now. */
export interface KeyRing {
  /** Reads the file again if it has changed. A broken file changes nothing: the keys read before stay. */
  refresh(): Promise<void>;
  /**
   * Must callers show a key? Yes on any address but loopback, and as soon as one key was ever seen: whoever makes keys
   * means them, and deleting the file must not open the door.
   */
  isRequired(): boolean;
  /** By its sha256, as `sha256Hex` gives it: what an answer's time tells of a hash tells nothing of the key. */
  find(sha256: string): StoredApiKey | undefined;
  /** How many keys have not expired. */
  countUsable(): number;
}

interface KeyRingOptions {
  readonly path: string;
  readonly isLoopback: boolean;
  readonly logger: Logger;
}

/** @throws Error when the file is there but cannot be read as keys: starting without them would open the door */
export async function openKeyRing({ path, isLoopback, logger }: KeyRingOptions): Promise<KeyRing> {
  let keys: ReadonlyMap<string, StoredApiKey> = new Map();
  let version = "";
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  let wereSeen = false;
  const readAgain = async (): Promise<void> => {
    const now = await fileVersion(path);
    if (now === version) return;
    const stored = now === "" ? [] : await readKeys(path);
    keys = new Map(stored.map((key) => [key.sha256, key]));
    version = now;
    wereSeen ||= keys.size > 0;
  };
  await readAgain();
  return {
    refresh: async () => {
      if (monotonicMs() - lookedAtMs < LOOK_EVERY_MS) return;
      lookedAtMs = monotonicMs();
      await readAgain().catch((error: unknown) => logger.error({ err: error }, "keys file could not be read"));
    },
    isRequired: () => !isLoopback || wereSeen,
    find: (sha256) => keys.get(sha256),
    countUsable: () => [...keys.values()].filter((key) => !isExpired(key)).length,
  };
}

/** Has the moment passed until which the key was to work? */
export function isExpired(key: StoredApiKey): boolean {
  return key.expires_at !== null && Date.parse(key.expires_at) <= nowMs();
}

async function readKeys(path: string): Promise<readonly StoredApiKey[]> {
  try {
    return KeysFile.parse(JSON.parse(await readFile(path, "utf8"))).keys;
  } catch (cause) {
    throw new Error(`The keys file ${path} cannot be read; mend it, or write it anew with "comfyq keys"`, { cause });
  }
}
