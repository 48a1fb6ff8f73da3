import { writeFile } from "node:fs/promises";
import { type Scope, StoredApiKey } from "@comfyq/contract";
import { newSecret, sha256Hex } from "@comfyq/runtime";

/** One key that somebody shall have. */
export interface KeyWish {
  readonly tenant: string;
  readonly scopes: readonly Scope[];
}

/** Writes a keys file. @returns the keys, in the order of the wishes */
export async function writeKeys(path: string, wishes: readonly KeyWish[]): Promise<string[]> {
  const made = wishes.map((wish) => ({ ...wish, text: newSecret("cq_live") }));
  const keys = made.map(({ text, ...wish }, at) =>
    StoredApiKey.parse({
      ...wish,
      name: `k${at}`,
      sha256: sha256Hex(text),
      created_at: new Date().toISOString(),
      expires_at: null,
    }),
  );
  await writeFile(path, JSON.stringify({ v: 1, keys }));
  return made.map(({ text }) => text);
}
