import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { KeysFile, SCOPES, StoredApiKey, toMoment } from "@comfyq/contract";
import { newSecret, nowMs, sha256Hex, sleep } from "@comfyq/runtime";
import type * as z from "zod";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { keysFilePath } from "../config.ts";
import { faultLines } from "../faultLines.ts";
import { table } from "../table.ts";

/** The options of `comfyq keys create`, as commander gives them. */
export interface CreateKeyOptions {
  readonly name: string;
  readonly tenant: string;
  readonly scope?: readonly string[];
  readonly expiresDays?: number;
}

const LOCK_PATIENCE_MS = 5_000;
const LOOK_EVERY_MS = 50;
const DAY_MS = 24 * 3_600_000;

/** `comfyq keys create`: prints a new key, once; only its hash is kept. */
export async function createKey(options: CreateKeyOptions): Promise<ExitCode> {
  const key = newSecret("cq_live");
  const path = keysFilePath();
  await changeKeys(path, (keys) => {
    if (keys.some(({ name }) => name === options.name))
      throw new CliError(
        "bad_input",
        `There is a key named "${options.name}" already; revoke it or choose another name`,
      );
    return [...keys, storedKey(key, options)];
  });
  process.stdout.write(`${key}\n`);
  process.stderr.write(`This is the only time it is shown. Use it as COMFYQ_API_KEY; kept as a hash in ${path}\n`);
  return EXIT.succeeded;
}

/** What a caller needs every day; `admin` must be asked for. */
const EVERYDAY_SCOPES = SCOPES.filter((scope) => scope !== "admin");

const GIVEN_AS = { name: "--name", tenant: "--tenant", scopes: "--scope" };

/** The scopes go as they were typed: whether they are any is for the schema to say. */
function storedKey(key: string, options: CreateKeyOptions): StoredApiKey {
  const { name, tenant, scope = EVERYDAY_SCOPES, expiresDays } = options;
  if (expiresDays !== undefined && expiresDays < 1)
    throw new CliError("bad_input", `--expires-days ${expiresDays}: the key would never work; give 1 or more`);
  const atMs = nowMs();
  const expiresAt = expiresDays === undefined ? null : toMoment(atMs + expiresDays * DAY_MS);
  const facts = { name, sha256: sha256Hex(key), tenant, created_at: toMoment(atMs), expires_at: expiresAt };
  const parsed = StoredApiKey.safeParse({ ...facts, scopes: scope });
  if (!parsed.success) throw new CliError("bad_input", faultLines(parsed.error, GIVEN_AS), { cause: parsed.error });
  return parsed.data;
}

/** `comfyq keys list`: who may call; never a key, not even its hash. */
export async function listKeys(): Promise<ExitCode> {
  const path = keysFilePath();
  const keys = await readKeys(path);
  const rows = keys.map((key) => [
    key.name,
    key.tenant,
    key.scopes.join(","),
    key.created_at.slice(0, 10),
    key.expires_at?.slice(0, 10) ?? "never",
  ]);
  const shown = table(["NAME", "TENANT", "SCOPES", "CREATED", "EXPIRES"], rows);
  process.stdout.write(keys.length === 0 ? `No keys in ${path}: the API asks for none.\n` : `${shown}\n`);
  return EXIT.succeeded;
}

/** `comfyq keys revoke`: the key stops working within a second or two. */
export async function revokeKey(name: string): Promise<ExitCode> {
  await changeKeys(keysFilePath(), (keys) => {
    if (!keys.some((key) => key.name === name))
      throw new CliError("bad_input", `There is no key named "${name}"; see: keys list`);
    return keys.filter((key) => key.name !== name);
  });
  process.stdout.write(`Revoked "${name}".\n`);
  return EXIT.succeeded;
}

/** Reads, changes and replaces the file in one step as others see it; one change at a time. */
async function changeKeys(
  path: string,
  change: (keys: readonly StoredApiKey[]) => readonly StoredApiKey[],
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const lock = `${path}.lock`;
  await takeLock(lock);
  try {
    const file: z.infer<typeof KeysFile> = { v: 1, keys: [...change(await readKeys(path))] };
    const draft = `${path}.${randomBytes(6).toString("hex")}`;
    await writeFile(draft, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600, flag: "wx" });
    await rename(draft, path);
  } finally {
    await rm(lock, { force: true });
  }
}

async function takeLock(lock: string): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += LOOK_EVERY_MS) {
    const isOurs = await writeFile(lock, "", { flag: "wx" }).then(
      () => true,
      (error: unknown) => {
        if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
        throw error;
      },
    );
    if (isOurs) return;
    if (waitedMs >= LOCK_PATIENCE_MS)
      throw new CliError("broken", `Somebody else is editing the keys. If nobody is, remove ${lock}`);
    await sleep(LOOK_EVERY_MS);
  }
}

async function readKeys(path: string): Promise<readonly StoredApiKey[]> {
  try {
    return KeysFile.parse(JSON.parse(await readFile(path, "utf8"))).keys;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
    throw new CliError("broken", `${path} is no keys file; move it away, and make the keys anew`, { cause });
  }
}
