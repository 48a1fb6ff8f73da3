import { createHmac, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Reads a secret of this installation, or makes it: 32 random bytes as base64 in a file only its owner can read.
 * Processes that start at the same moment agree, because only one of them can create the file.
 */
export async function readOrCreateSecret(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  try {
    await writeFile(path, `${randomBytes(32).toString("base64")}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  return (await readFile(path, "utf8")).trim();
}

/**
 * The signing secret of one tenant, as Standard Webhooks 1.0 writes it (`whsec_` + base64 of 32 bytes). Derived, so that no
 * tenant can sign for another and nothing has to be stored.
 */
export function tenantWebhookSecret(master: string, tenant: string): string {
  return `whsec_${createHmac("sha256", master).update(`webhook:${tenant}`).digest("base64")}`;
}
