import { type FileLink, type Job, type JobFacts, type LinkedFile, presentJob } from "@comfyq/contract";
import type { Rooms } from "./rooms.ts";
import type { Call } from "./route.ts";

/** The job as its owner sees it, with links to its files that are fresh now. */
export function showJob(rooms: Rooms, call: Call, facts: JobFacts): Promise<Job> {
  return presentJob(facts, call.baseUrl, (file) => freshLink(rooms, call, file));
}

/** A link to a stored file that works from now on, for as long as COMFYQ_LINK_TTL_S says. */
export async function freshLink(rooms: Rooms, call: Call, file: LinkedFile): Promise<FileLink> {
  const link = await rooms.storage.link(file.key, {
    ttlSeconds: rooms.settings.COMFYQ_LINK_TTL_S,
    downloadName: file.name,
    contentType: file.content_type,
  });
  // A folder's link is a path of ours (LINK_BASE); S3's is an address of its own.
  return { url: link.url.startsWith("/") ? call.baseUrl + link.url : link.url, expiresAtMs: link.expiresAtMs };
}
