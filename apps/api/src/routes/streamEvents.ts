import { isTerminal } from "@comfyq/contract";
import type { WatchedEvent } from "@comfyq/queue";
import * as z from "zod";
import { readOwnJob } from "../ownJob.ts";
import type { Rooms } from "../rooms.ts";
import { type Call, type Route, route } from "../route.ts";
import { formatEventId, parseEventId } from "../sse/eventId.ts";
import { openEventStream, type StreamFrame } from "../sse/eventStream.ts";
import type { StreamSeats } from "../sse/streamSeats.ts";
import { JobParams } from "./showJob.ts";

const Query = z.strictObject({
  last_event_id: z
    .string()
    .max(64)
    .optional()
    .meta({ description: "Like the header Last-Event-ID, for clients that cannot set one" }),
});
const Headers = z.object({
  "Last-Event-ID": z.string().optional().meta({ description: "Last id you have; everything after it follows" }),
});

const DESCRIPTION = `Server-sent events: \`status\`, \`progress\`, \`preview\`, \`output\`, \`log\`, each with an \`id\` where it
can be resumed from. Begins with a snapshot, or after \`Last-Event-ID\`. The terminal \`status\` always arrives; then the
stream ends, and a client that connects again with that id gets 204 and should stop. A slow reader misses progress, never
a status. GET /v1/jobs/{id} is the truth; this is quicker.`;

export function streamEventsRoute(rooms: Rooms, seats: StreamSeats): Route {
  return route({
    method: "get",
    path: "/v1/jobs/{id}/events",
    scope: "read",
    tag: "Jobs",
    summary: "Watch a job",
    description: DESCRIPTION,
    params: JobParams,
    query: Query,
    headers: Headers,
    answers: {
      200: { description: "Events until the job has ended", content: { "text/event-stream": { schema: z.string() } } },
      204: { description: "You have all events: the job has ended and you saw it" },
    },
    errors: ["not_found", "too_many_streams"],
    run: async (call) => {
      const job = await readOwnJob(rooms, call);
      const last = parseEventId(call.req.get("last-event-id") ?? call.query.last_event_id);
      if (last?.isEnd && isTerminal(job.status)) return void call.res.status(204).end();
      using _seat = seats.take();
      await stream(rooms, call, { jobId: job.id, afterId: last?.id });
    },
  });
}

async function stream(
  rooms: Rooms,
  call: Call,
  { jobId, afterId }: { readonly jobId: string; readonly afterId: string | undefined },
): Promise<void> {
  const sink = openEventStream(call.res, call.signal);
  try {
    if (call.req.method === "HEAD") return;
    const { tenant } = call.caller;
    for await (const watched of rooms.producer.watch({ tenant, jobId, afterId, signal: sink.signal }))
      await sink.send(frameOf(watched));
    await sink.drained();
  } catch (error) {
    // The answer has begun: all that is left is to end it. The client comes back with its last id.
    if (!sink.signal.aborted) rooms.logger.warn({ err: error, jobId }, "event stream broke");
  } finally {
    sink.end();
  }
}

function frameOf({ id, event }: WatchedEvent): StreamFrame {
  const isEnd = event.event === "status" && isTerminal(event.data.status);
  return { ...event, id: id === undefined ? undefined : formatEventId({ id, isEnd }) };
}
