import { tenantWebhookSecret } from "@comfyq/runtime";
import * as z from "zod";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";

const Secret = z
  .object({ secret: z.string().meta({ description: "whsec_…, for any Standard Webhooks library" }) })
  .meta({ id: "WebhookSecret" });

export function webhookSecretRoute(rooms: Rooms): Route {
  return route({
    method: "get",
    path: "/v1/webhooks/secret",
    scope: "admin",
    tag: "Secrets",
    summary: "Read the secret that your webhooks are signed with",
    answers: { 200: json("Yours; every tenant has another", Secret) },
    run: (call) => {
      const secret = tenantWebhookSecret(rooms.webhookMaster, call.caller.tenant);
      call.res.set("Cache-Control", "no-store").json({ secret });
    },
  });
}
