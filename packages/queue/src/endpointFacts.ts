import { Uuid, WebhookEndpoint } from "@comfyq/contract";
import * as z from "zod";

/** A signing secret, encrypted; those that were replaced sign until `untilMs`. */
const SealedSecret = z.object({ sealed: z.string(), untilMs: z.number().nullable() });
export type SealedSecret = z.infer<typeof SealedSecret>;

/** An endpoint as it is kept: its secrets and the values of its headers are encrypted before they come here. */
export const EndpointFacts = z.object({
  v: z.literal(1),
  id: Uuid,
  url: z.string(),
  events: z.array(z.string()),
  description: z.string(),
  metadata: z.record(z.string(), z.unknown()),
  headerNames: z.array(z.string()),
  sealedHeaders: z.string().optional(),
  /** Newest first. */
  secrets: z.array(SealedSecret).min(1),
  status: WebhookEndpoint.shape.status,
  disabledReason: z.string().nullable(),
  disabledAtMs: z.number().nullable(),
  createdAtMs: z.number(),
  updatedAtMs: z.number(),
});
export type EndpointFacts = Readonly<z.infer<typeof EndpointFacts>>;
