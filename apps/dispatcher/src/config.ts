import { readEnv, readOrCreateSecret, SHARED_SETTINGS, secretPath } from "@comfyq/runtime";
import * as z from "zod";

/** What one dispatcher process is told. */
const DispatcherEnv = z.object({
  ...SHARED_SETTINGS,
  COMFYQ_WEBHOOK_SECRET: z
    .string()
    .min(32)
    .optional()
    .describe("Tenants' webhook secrets come from it; default: made once in <data>/secrets/webhook-secret"),
  COMFYQ_SECRETS_KEY: z
    .string()
    .min(32)
    .optional()
    .describe(
      "Opens the headers and secrets of webhooks; the same for all processes; default: made once in <data>/secrets",
    ),
  COMFYQ_PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .default("http://127.0.0.1:8190")
    .transform((url) => url.replace(/\/+$/, ""))
    .describe("Address of the API that customers use, for links in webhooks"),
  COMFYQ_ASSET_RETENTION_DAYS: z.coerce
    .number()
    .positive()
    .default(7)
    .describe("Days that an uploaded file is kept after its last use, when no kept job names it"),
  COMFYQ_WEBHOOK_TIMEOUT_S: z.coerce
    .number()
    .min(1)
    .max(60)
    .default(15)
    .describe("Longest wait for a receiver's answer"),
  COMFYQ_WEBHOOKS_PER_HOST: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe("Webhooks sent to one host at once, over all dispatchers; the others wait in line"),
  COMFYQ_HEALTH_HOST: z.string().default("127.0.0.1").describe("Address of /livez, /readyz and /metrics"),
  COMFYQ_HEALTH_PORT: z.coerce.number().int().min(0).max(65_535).default(0).describe("Their port; 0 takes a free one"),
});
export type DispatcherConfig = z.output<typeof DispatcherEnv>;

/** Reads the environment and flags. @throws EnvError with every mistake */
export function readConfig(argv: readonly string[]): DispatcherConfig {
  return readEnv(DispatcherEnv, { argv });
}

/** What tenants' signing secrets are derived from. */
export async function webhookMaster(config: DispatcherConfig): Promise<string> {
  return config.COMFYQ_WEBHOOK_SECRET ?? readOrCreateSecret(secretPath(config, "webhook-secret"));
}

/** What the API sealed is opened with it. */
export async function secretsKey(config: DispatcherConfig): Promise<string> {
  return config.COMFYQ_SECRETS_KEY ?? readOrCreateSecret(secretPath(config, "secrets-key"));
}
