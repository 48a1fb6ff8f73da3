import { contentTypeOf } from "@comfyq/storage";
import { freshLink } from "../presentJob.ts";
import type { Rooms } from "../rooms.ts";
import type { Call } from "../route.ts";
import { type SentObject, sendObject } from "./sendObject.ts";

/**
 * Sends stored bytes to their owner: from a folder the bytes themselves, or the range that was asked for; from S3 a fresh
 * signed link (302).
 * @throws ApiError `not_found` when a folder does not have them any more
 */
export async function sendStored(rooms: Rooms, call: Call, object: SentObject): Promise<void> {
  return rooms.storage.kind === "folder" ? sendObject(rooms.storage, call, object) : sendLink(rooms, call, object);
}

/** Sends a fresh signed link to stored bytes (302), wherever they are kept. */
export async function sendLink(rooms: Rooms, call: Call, { key, name, contentType }: SentObject): Promise<void> {
  const { url } = await freshLink(rooms, call, { key, name, content_type: contentType ?? contentTypeOf(name) });
  call.res.set("Cache-Control", "no-store").redirect(302, url);
}
