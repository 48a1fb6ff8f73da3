import { newId } from "@comfyq/runtime";
import * as z from "zod";
import { readBody } from "../../body/readBody.ts";
import type { Rooms } from "../../rooms.ts";
import { json, type Route, route } from "../../route.ts";
import { checkSubmission } from "../../submit/checkSubmission.ts";
import { queueJob } from "../../submit/queueJob.ts";
import { EXTRA_HEADERS } from "../extraHeaders.ts";
import { readV2Job } from "./readV2Job.ts";
import { showV2Job } from "./showV2.ts";
import { useOnce } from "./useOnce.ts";
import { V2_BASE, V2_DOOR } from "./v2Door.ts";
import { V2Job, V2NewJob } from "./v2Schemas.ts";

export const V2_TAG = "Comfy API v2";

/** A key that any request may use once. */
export const SINGLE_USE_KEY = z.object({
  "Idempotency-Key": z
    .string()
    .max(255)
    .optional()
    .meta({ description: "Single use: any later request with it is refused for 24 hours" }),
});

export function submitV2JobRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: `${V2_BASE}/jobs`,
    scope: "submit",
    door: V2_DOOR,
    tag: V2_TAG,
    summary: "Submit a workflow",
    description:
      "As `@comfyorg/sdk` and every client of Comfy API v2 sends it. `core/ASSET` references are resolved. What our own API " +
      "takes beyond that can be sent as headers.",
    headers: SINGLE_USE_KEY.extend(EXTRA_HEADERS.shape),
    body: { "application/json": { schema: V2NewJob } },
    answers: { 201: json("The job, durable and queued", V2Job) },
    errors: [
      "invalid_json",
      "invalid_request",
      "invalid_workflow",
      "workflow_format_ui",
      "missing_asset",
      "idempotency_key_reuse",
      "payload_too_large",
      "unsupported_media_type",
      "queue_full",
    ],
    run: (call) =>
      useOnce(rooms, call, async (sent) => {
        const { tenant } = call.caller;
        const bytes = await readBody(call.req, rooms.settings.COMFYQ_MAX_BODY_BYTES);
        const { read, inTheirWords } = await readV2Job(rooms, call, bytes);
        const job = await checkSubmission(rooms, tenant, read.job).catch((error: unknown) => {
          throw inTheirWords(error);
        });
        const { sealedSecrets, fingerprint } = read;
        sent();
        const { facts } = await queueJob(rooms, tenant, {
          id: newId(),
          job,
          sealedSecrets,
          bodySha256: fingerprint.bodySha256,
        });
        const shown = await showV2Job(rooms, call, facts);
        call.res.status(201).set("Location", shown.urls.self).json(shown);
      }),
  });
}
