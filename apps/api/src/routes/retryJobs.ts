import { RETRY_LIMIT, RetryReport, RetryRequest } from "@comfyq/contract";
import * as z from "zod";
import { readWish } from "../body/readWish.ts";
import { idempotencyKey } from "../idempotency.ts";
import { PageCursor } from "../pageCursor.ts";
import { retryJobs } from "../retry/retryJobs.ts";
import type { Rooms } from "../rooms.ts";
import { json, type Route, route } from "../route.ts";

const DESCRIPTION = `Makes a new job of each ended one that matches, newest first, as POST /v1/jobs/{id}/retry does. Each
job is retried once: one that was retried by this call before is answered with the job made then, and nothing new is
queued. So it is safe to repeat, whatever came of the answer, and a second run finds what has failed since. To retry the
same jobs again, send an Idempotency-Key that was not used for them. At most ${RETRY_LIMIT} jobs in one request; an answer
can be shorter than the limit and still have a next_cursor.`;

const Headers = z.object({
  "Idempotency-Key": z
    .string()
    .max(255)
    .optional()
    .meta({ description: "Each job is retried once under each key, and once without one" }),
});

const EXAMPLE: z.input<typeof RetryRequest> = { status: "failed", code: "comfyui_unreachable", dry_run: true };

const FORM = {
  schema: RetryRequest.safeExtend({ cursor: PageCursor.optional() }),
  example: '{"status": "failed"}',
  undone: "retried",
};

export function retryJobsRoute(rooms: Rooms): Route {
  return route({
    method: "post",
    path: "/v1/jobs/retry",
    scope: "submit",
    tag: "Jobs",
    summary: "Submit ended jobs again, all that match",
    description: DESCRIPTION,
    headers: Headers,
    body: { "application/json": { schema: RetryRequest, example: EXAMPLE } },
    answers: { 200: json("What was retried, or would be", RetryReport) },
    errors: [
      "invalid_json",
      "invalid_request",
      "payload_too_large",
      "unsupported_media_type",
      "limit_reached",
      "queue_full",
    ],
    run: async (call) => {
      const key = idempotencyKey(call.req);
      const request = await readWish(rooms, call, FORM);
      const { tenant } = call.caller;
      call.res.json(await retryJobs(rooms.producer, { ...request, tenant, key }, call.signal));
    },
  });
}
