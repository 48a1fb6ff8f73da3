import * as z from "zod";
import { Tenant } from "./ids.ts";

export const SCOPES = ["submit", "read", "cancel", "admin"] as const;
export const Scope = z.enum(SCOPES);
export type Scope = z.infer<typeof Scope>;

/** An API key as it is kept: its hash, never itself. `sha256` is hex over the whole key text. */
export const StoredApiKey = z.object({
  name: z.string().min(1).max(128),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  tenant: Tenant,
  scopes: z.array(Scope).min(1),
  created_at: z.string(),
  expires_at: z.string().nullable(),
});
export type StoredApiKey = z.infer<typeof StoredApiKey>;

/** The keys file that the API reads (`COMFYQ_KEYS_FILE`) and `comfyq keys` writes. */
export const KeysFile = z.object({ v: z.literal(1), keys: z.array(StoredApiKey) });
export type KeysFile = z.infer<typeof KeysFile>;
