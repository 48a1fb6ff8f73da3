import * as z from "zod";
import { SecretName } from "./source.ts";

export const SECRET_LIMITS = { count: 16, bytes: 8_192 } as const;

/** One secret. */
export const SecretText = z
  .string()
  .min(1)
  .max(SECRET_LIMITS.bytes)
  .regex(/^[^\p{Cc}]*$/u, "must not have control characters");

/**
 * What a job may know and nobody may see: encrypted before it is stored, opened by the worker when it is used, never
 * returned. Two names go to ComfyUI's API nodes; any other is a credential that a source can name.
 */
export const JobSecrets = z
  .record(SecretName, SecretText)
  .refine((secrets) => Object.keys(secrets).length <= SECRET_LIMITS.count, `at most ${SECRET_LIMITS.count} secrets`)
  .meta({
    description:
      "Encrypted before they are stored, and never shown again. api_key_comfy_org and auth_token_comfy_org go to " +
      "ComfyUI's API nodes; others are credentials that a source can name",
  });
export type JobSecrets = z.infer<typeof JobSecrets>;

/** Those that go along with the graph, in ComfyUI's `extra_data`, under these names. */
export const COMFY_SECRETS = ["api_key_comfy_org", "auth_token_comfy_org"] as const;
