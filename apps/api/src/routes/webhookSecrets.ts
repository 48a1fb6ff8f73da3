import { RotatedSecret, RotationRequest } from "@comfyq/contract";
import { rotateSecrets } from "@comfyq/queue";
import { newWebhookSecret, nowMs, tenantWebhookSecret } from "@comfyq/runtime";
import * as z from "zod";
import { readWish } from "../body/readWish.ts";
import type { Rooms } from "../rooms.ts";
import { type Call, json, type Route, route } from "../route.ts";
import { changeOwnEndpoint, readOwnEndpoint } from "../webhooks/ownEndpoint.ts";
import { oldSecretUntil } from "../webhooks/showEndpoint.ts";
import { BODY_ERRORS, EndpointParams } from "./webhooks.ts";

const Secret = z
  .object({ secret: z.string().meta({ description: "whsec_…, for any Standard Webhooks library" }) })
  .meta({ id: "WebhookSecret" });

const rotation = {
  method: "post",
  scope: "admin",
  tag: "Webhooks and deliveries",
  description:
    "While the old secret is still valid, webhooks carry a signature of each, and libraries accept them with either.",
  body: { "application/json": { schema: RotationRequest, example: { overlap_s: 86_400 } } },
  answers: { 200: json("The new secret", RotatedSecret) },
} as const;

/** What webhooks are signed with. */
export function webhookSecretRoutes(rooms: Rooms): readonly Route[] {
  const { producer, webhookMaster, secretBox } = rooms;
  const overlapMs = async (call: Call) => {
    const form = { schema: RotationRequest, example: '{"overlap_s": 86400}', isOptional: true } as const;
    return (await readWish(rooms, call, form)).overlap_s * 1_000;
  };
  return [
    route({
      method: "get",
      path: "/v1/webhooks/secret",
      scope: "admin",
      tag: "Webhooks and deliveries",
      summary: "Read the secret that the webhooks named with your jobs are signed with",
      description: "Endpoints have a secret each, which is shown when it is made.",
      answers: { 200: json("Yours; every tenant has another", Secret) },
      run: async (call) => {
        const { tenant } = call.caller;
        const { number } = await producer.webhooks.signing(tenant);
        call.res.set("Cache-Control", "no-store").json({ secret: tenantWebhookSecret(webhookMaster, tenant, number) });
      },
    }),
    route({
      ...rotation,
      path: "/v1/webhooks/secret/rotate",
      summary: "Replace the secret that the webhooks named with your jobs are signed with",
      errors: [...BODY_ERRORS, "conflict"],
      run: async (call) => {
        const { tenant } = call.caller;
        const { number, old } = await producer.webhooks.rotateSigning(tenant, await overlapMs(call));
        const secret = tenantWebhookSecret(webhookMaster, tenant, number);
        call.res.set("Cache-Control", "no-store").json({ secret, old_secret_until: oldSecretUntil(old) });
      },
    }),
    route({
      ...rotation,
      path: "/v1/webhooks/{id}/rotate",
      summary: "Replace the secret of a webhook endpoint",
      params: EndpointParams,
      errors: [...BODY_ERRORS, "not_found", "conflict"],
      run: async (call) => {
        await readOwnEndpoint(rooms, call); // what is not there has no body to be judged
        const overlap = await overlapMs(call);
        const secret = newWebhookSecret();
        const fresh = { sealed: secretBox.seal(secret, call.caller.tenant), nowMs: nowMs(), overlapMs: overlap };
        const { secrets } = await changeOwnEndpoint(rooms, call, (facts) => ({
          ...facts,
          secrets: [...rotateSecrets(facts.secrets, fresh)],
        }));
        call.res.set("Cache-Control", "no-store").json({ secret, old_secret_until: oldSecretUntil(secrets) });
      },
    }),
  ];
}
