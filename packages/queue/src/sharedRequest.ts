import { RecordRequest } from "./envelopes.ts";
import type { QueueRoom } from "./room.ts";

/** The graph, inputs and files that all its rows share; undefined when it is gone. */
export async function readSharedRequest(
  { redis, names }: Pick<QueueRoom, "redis" | "names">,
  id: string,
): Promise<{ readonly request: RecordRequest; readonly sealedSecrets: string | undefined } | undefined> {
  const [request, secrets] = await redis.hmget(names.batch(id), "request", "secrets");
  if (!request) return undefined;
  return { request: RecordRequest.parse(JSON.parse(request)), sealedSecrets: secrets ?? undefined };
}
