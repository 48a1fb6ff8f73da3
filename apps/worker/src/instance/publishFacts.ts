import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { publishClasses, publishObjectInfo, type QueueRoom } from "@comfyq/queue";
import type { InstanceFacts } from "./learnInstance.ts";

/** Tells the fleet which node classes an instance has, and all that they take and give: megabytes, so they go compressed. */
export async function publishFacts(room: QueueRoom, facts: InstanceFacts): Promise<void> {
  const { fingerprint, classes, objectInfo } = facts;
  await publishClasses(room, fingerprint, classes);
  await publishObjectInfo(room, objectInfo.sha256, await promisify(gzip)(objectInfo.json));
}
