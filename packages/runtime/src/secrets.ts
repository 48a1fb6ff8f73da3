import { createHmac, randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Reads a secret of this installation, or makes it: 32 random bytes as base64 in a file only its owner can read.
 * Processes that start at the same moment agree: the file appears whole, under its name, for one of them only.
 */
export async function readOrCreateSecret(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, `${randomBytes(32).toString("base64")}\n`, { mode: 0o600, flag: "wx" });
  try {
    await link(draft, path); // fails where a file is, and so never replaces the secret others already use
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    await rm(draft);
  }
  return (await readFile(path, "utf8")).trim();
}

/**
 * A signing secret of one tenant, as Standard Webhooks 1.0 writes it (`whsec_` + base64 of 32 bytes). Derived, so that no
 * tenant can sign for another and nothing has to be stored.
 * @param number how often it was replaced
 */
export function tenantWebhookSecret(master: string, tenant: string, number = 0): string {
  const name = number === 0 ? `webhook:${tenant}` : `webhook:${tenant}:${number}`; // no tenant has a colon in its name
  return `whsec_${createHmac("sha256", master).update(name).digest("base64")}`;
}

/** A new signing secret, of 32 random bytes. */
export function newWebhookSecret(): string {
  return `whsec_${randomBytes(32).toString("base64")}`;
}
