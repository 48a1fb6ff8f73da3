import { type Job, type JobFacts, presentJob } from "@comfyq/contract";
import type { Rooms } from "./rooms.ts";
import type { Call } from "./route.ts";

/** The job as its owner sees it, with links to its files that are fresh now. */
export function showJob(rooms: Rooms, call: Call, facts: JobFacts): Promise<Job> {
  return presentJob(facts, call.baseUrl, async (file) => {
    const link = await rooms.storage.link(file.key, {
      ttlSeconds: rooms.settings.COMFYQ_LINK_TTL_S,
      downloadName: file.name,
      contentType: file.content_type,
    });
    // A folder's link is a path of ours (LINK_BASE); S3's is an address of its own.
    return { url: link.url.startsWith("/") ? call.baseUrl + link.url : link.url, expiresAtMs: link.expiresAtMs };
  });
}
