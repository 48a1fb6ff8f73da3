import { isTerminal, type JobEvent, type JobFacts, type JobStatus } from "@comfyq/contract";
import * as z from "zod";
import { readOwnJob } from "../../ownJob.ts";
import type { Rooms } from "../../rooms.ts";
import { type Call, type Route, route } from "../../route.ts";
import { openEventStream, type StreamFrame } from "../../sse/eventStream.ts";
import type { StreamSeats } from "../../sse/streamSeats.ts";
import { showV2Output } from "./showV2.ts";
import { V2_TAG } from "./submitV2Job.ts";
import { V2_BASE, V2_DOOR } from "./v2Door.ts";
import { V2JobParams } from "./v2JobRoutes.ts";

export function streamV2EventsRoute(rooms: Rooms, seats: StreamSeats): Route {
  return route({
    method: "get",
    path: `${V2_BASE}/jobs/{id}/events`,
    scope: "read",
    door: V2_DOOR,
    tag: V2_TAG,
    summary: "Watch a job",
    description:
      "Server-sent events `status`, `progress`, `preview`, `output` and `log`, without ids: a client that comes again begins " +
      "with a snapshot. Outputs are told when they are stored, right before the terminal status, which always comes.",
    params: V2JobParams,
    answers: {
      200: { description: "Events until the job has ended", content: { "text/event-stream": { schema: z.string() } } },
    },
    errors: ["not_found", "too_many_streams"],
    run: async (call) => {
      const job = await readOwnJob(rooms, call);
      using _seat = seats.take();
      await stream(rooms, call, job.id);
    },
  });
}

async function stream(rooms: Rooms, call: Call, jobId: string): Promise<void> {
  const sink = openEventStream(call.res, call.signal);
  const { tenant } = call.caller;
  let told: JobStatus | undefined;
  try {
    if (call.req.method === "HEAD") return;
    for await (const { event } of rooms.producer.watch({ tenant, jobId, signal: sink.signal })) {
      const isOld = event.event === "status" && event.data.status === told; // only its stage is new, which is not told here
      if (event.event === "status") told = event.data.status;
      if (!isOld) for await (const frame of framesOf(rooms, call, { jobId, event })) await sink.send(frame);
    }
    await sink.drained();
  } catch (error) {
    if (!sink.signal.aborted) rooms.logger.warn({ err: error, jobId }, "event stream broke");
  } finally {
    sink.end();
  }
}

interface EventOfJob {
  readonly jobId: string;
  readonly event: JobEvent;
}

async function* framesOf(rooms: Rooms, call: Call, { jobId, event }: EventOfJob): AsyncGenerator<StreamFrame> {
  switch (event.event) {
    case "status": {
      const { status } = event.data;
      const needsJob = status === "queued" || isTerminal(status);
      const job = needsJob ? await rooms.producer.read(call.caller.tenant, jobId) : undefined;
      if (job && isTerminal(status)) yield* outputFrames(rooms, call, job);
      return yield { event: "status", data: { status, queue_position: job?.queue_position ?? null } };
    }
    case "progress": {
      const { attempt: _attempt, ...data } = event.data;
      return yield { event: "progress", data };
    }
    case "preview":
      return yield { event: "preview", data: { ...event.data, node_id: event.data.node_id ?? "" } };
    case "log":
      return yield { event: "log", data: { level: "info", message: event.data.message } };
    case "output":
      return; // rendered, and not stored yet: it has no id to be fetched by
  }
}

async function* outputFrames(rooms: Rooms, call: Call, job: JobFacts): AsyncGenerator<StreamFrame> {
  for (const output of job.outputs) yield { event: "output", data: await showV2Output(rooms, call, { job, output }) };
}
