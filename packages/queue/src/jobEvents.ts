import type { JobEvent } from "@comfyq/contract";
import type { QueueRoom } from "./room.ts";

/** A notice on a job's channel: the stream grew, or a preview, which is shown to those who look now and not kept. */
export type Notice = { readonly kind: "grew" } | { readonly kind: "preview"; readonly event: JobEvent };

/** Appends to the job's stream and wakes those who watch, in one round trip. */
export async function appendEvent(room: QueueRoom, jobId: string, event: JobEvent): Promise<void> {
  await room.redis
    .pipeline()
    .xadd(room.names.events(jobId), "MAXLEN", "~", room.settings.eventStreamLength, "*", "event", JSON.stringify(event))
    // Who comes back later gets a snapshot: streams of ended jobs would be most of Redis's memory.
    .expire(room.names.events(jobId), room.settings.eventStreamTtlSeconds)
    .publish(room.names.watch(jobId), JSON.stringify(GREW))
    .exec();
}

/** What wakes those who watch. */
export const GREW: Notice = { kind: "grew" };

/** Wakes those who watch, after a script has appended to the stream. */
export async function noticeGrowth(room: QueueRoom, jobId: string): Promise<void> {
  await room.redis.publish(room.names.watch(jobId), JSON.stringify(GREW));
}

/** Shows a preview to whoever watches at this moment. */
export async function publishPreview(room: QueueRoom, jobId: string, event: JobEvent): Promise<void> {
  const notice: Notice = { kind: "preview", event };
  await room.redis.publish(room.names.watch(jobId), JSON.stringify(notice));
}
