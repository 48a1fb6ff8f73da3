import type { NodeClasses } from "@comfyq/contract";
import type { Producer } from "@comfyq/queue";
import type { AddressRules, Health, Logger, Metrics, SecretBox } from "@comfyq/runtime";
import type { Storage } from "@comfyq/storage";
import type { KeyRing } from "./auth/keyRing.ts";
import type { ApiSettings } from "./config.ts";

/** Everything a route may need; built once in startApi.ts and handed down. */
export interface Rooms {
  readonly settings: ApiSettings;
  readonly logger: Logger;
  readonly producer: Producer;
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly health: Health;
  readonly metrics: Metrics;
  /** Signs links into a folder store. */
  readonly linkSecret: string;
  /** What tenants' webhook secrets are derived from. */
  readonly webhookMaster: string;
  /** Where webhooks may go. */
  readonly webhookAddresses: AddressRules;
  /** Seals the secrets of jobs before anything is stored; only the workers open them. */
  readonly secretBox: SecretBox;
  /** Node classes of a pool, a little old; `fresh` asks again. */
  readonly classes: (pool: string, fresh: "fresh" | "cached") => Promise<NodeClasses | undefined>;
  /** Aborts when the API stops: streams end, waits end. */
  readonly closing: AbortSignal;
}
