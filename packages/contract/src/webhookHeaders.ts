import * as z from "zod";

export const WEBHOOK_LIMITS = {
  /** Endpoints of one tenant. */
  endpoints: 20,
  headers: 16,
  headerBytes: 2_048,
  metadataBytes: 4_096,
} as const;

/** Names that tell a receiver's proxies where a request came from, or what it is instead: not a customer's to say. */
const NOT_THEIRS = /^x-(?:forwarded|real|original|rewrite|http-method|envoy|amz)/i;

const HeaderName = z
  .string()
  .max(64)
  .regex(
    /^(?:authorization|x-[a-z0-9-]+|cf-access-client-(?:id|secret))$/i,
    "must be Authorization, CF-Access-Client-Id, CF-Access-Client-Secret or begin with X-",
  )
  .refine((name) => !NOT_THEIRS.test(name), "is set by proxies, or read by them; take another name");

const HeaderValue = z
  .string()
  .min(1)
  .max(WEBHOOK_LIMITS.headerBytes)
  .regex(/^[\x20-\x7e]+$/, "must be printable ASCII on one line");

/** Headers of a receiver's own, such as a token that its gateway asks for. */
export const WebhookHeaders = z
  .record(HeaderName, HeaderValue)
  .refine(
    (headers) => Object.keys(headers).length <= WEBHOOK_LIMITS.headers,
    `at most ${WEBHOOK_LIMITS.headers} headers`,
  )
  .refine(
    (headers) => new Set(Object.keys(headers).map((name) => name.toLowerCase())).size === Object.keys(headers).length,
    "names a header twice",
  )
  .meta({
    description:
      "Sent with every webhook. Secrets: encrypted before they are stored, and never shown again. " +
      "Names: Authorization, CF-Access-Client-Id, CF-Access-Client-Secret, X-…",
  });
export type WebhookHeaders = z.infer<typeof WebhookHeaders>;

/** What comes back in every webhook, as `metadata` beside `data`. */
export const WebhookMetadata = z
  .record(z.string().max(128), z.unknown())
  .refine((metadata) => JSON.stringify(metadata).length <= WEBHOOK_LIMITS.metadataBytes, "at most 4 KB of JSON")
  .meta({ description: "Yours; comes back in every webhook, as `metadata` beside `data`. Not for secrets" });

/** Where webhooks go. */
export const WebhookUrl = z.url({ protocol: /^https?$/ }).max(2_048);
