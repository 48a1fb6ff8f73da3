import * as z from "zod";
import { Moment, Uuid } from "./ids.ts";
import { DEFAULT_EVENTS, WEBHOOK_EVENT_TYPES } from "./webhookEvent.ts";
import { WEBHOOK_LIMITS, WebhookHeaders, WebhookMetadata, WebhookUrl } from "./webhookHeaders.ts";

/** How long the old secret signs beside the new one, in seconds. */
export const OVERLAP_S = { usual: 86_400, most: 7 * 86_400 } as const;

/** What an endpoint can ask for: everything but the test, which goes to one endpoint only. */
const EndpointEventType = z.enum(WEBHOOK_EVENT_TYPES).exclude(["webhook.test"]);

const Events = z.array(EndpointEventType).min(1).max(WEBHOOK_EVENT_TYPES.length).meta({
  description: "What it is told of; left out: every way a job can end",
});
const Description = z.string().max(256);

/** What makes an endpoint: it hears of all jobs of its tenant that are queued from then on. */
export const NewWebhookEndpoint = z
  .strictObject({
    url: WebhookUrl,
    events: Events.default([...DEFAULT_EVENTS]),
    description: Description.default(""),
    headers: WebhookHeaders.default({}),
    metadata: WebhookMetadata.default({}),
  })
  .meta({ id: "NewWebhookEndpoint" });
export type NewWebhookEndpoint = z.infer<typeof NewWebhookEndpoint>;

/** What is left out stays as it is; `headers` replaces all of them, for they cannot be read back. */
export const WebhookEndpointChange = z
  .strictObject({
    url: WebhookUrl.optional(),
    events: Events.optional(),
    description: Description.optional(),
    headers: WebhookHeaders.optional(),
    metadata: WebhookMetadata.optional(),
  })
  .meta({ id: "WebhookEndpointChange" });
export type WebhookEndpointChange = z.infer<typeof WebhookEndpointChange>;

/** An endpoint as its tenant sees it. Neither its secret nor the values of its headers are in it. */
export const WebhookEndpoint = z
  .object({
    id: Uuid,
    url: z.string(),
    events: z.array(EndpointEventType),
    description: z.string(),
    header_names: z.array(z.string()).meta({ description: "Headers that are sent along; their values are not shown" }),
    metadata: z.record(z.string(), z.unknown()),
    status: z.enum(["enabled", "disabled"]),
    disabled_reason: z.string().nullable().meta({ description: "Why nothing is sent to it any more, and what to do" }),
    disabled_at: Moment.nullable(),
    created_at: Moment,
    updated_at: Moment,
    old_secret_until: Moment.nullable().meta({ description: "Until when webhooks are signed with an old secret, too" }),
  })
  .meta({ id: "WebhookEndpoint" });
export type WebhookEndpoint = z.infer<typeof WebhookEndpoint>;

export const WebhookEndpointList = z
  .object({ endpoints: z.array(WebhookEndpoint).max(WEBHOOK_LIMITS.endpoints) })
  .meta({ id: "WebhookEndpointList" });

const Secret = z.string().meta({ description: "whsec_…, for any Standard Webhooks library; shown this once" });

export const WebhookEndpointMade = WebhookEndpoint.extend({ secret: Secret }).meta({ id: "WebhookEndpointMade" });

/** How a secret is replaced. */
export const RotationRequest = z
  .strictObject({
    overlap_s: z.int().min(0).max(OVERLAP_S.most).default(OVERLAP_S.usual).meta({
      description: "For how long the old secret signs, too; 0: it has leaked, and no webhook is signed with it",
    }),
  })
  .meta({ id: "RotationRequest" });

export const RotatedSecret = z
  .object({
    secret: Secret,
    old_secret_until: Moment.nullable().meta({ description: "Until when webhooks are signed with the old one, too" }),
  })
  .meta({ id: "RotatedSecret" });
