import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";
import { type SentObject, sendObject } from "./sendObject.ts";

/**
 * Sends stored bytes to their owner: from a folder the bytes themselves, or the range that was asked for; from S3 a fresh
 * signed link (302).
 * @throws ApiError `not_found` when a folder does not have them any more
 */
export async function sendStored(rooms: Rooms, call: Call, object: SentObject): Promise<void> {
  if (rooms.storage.kind === "folder") return sendObject(rooms.storage, call, object);
  const { key, name, contentType } = object;
  const ttlSeconds = rooms.settings.COMFYQ_LINK_TTL_S;
  const link = await rooms.storage.link(key, { ttlSeconds, downloadName: name, contentType });
  call.res.set("Cache-Control", "no-store").redirect(302, link.url);
}
