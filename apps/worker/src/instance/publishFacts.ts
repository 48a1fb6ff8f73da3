import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { publishClasses, publishModelLists, publishObjectInfo, type QueueRoom } from "@comfyq/queue";
import type { InstanceFacts } from "./learnInstance.ts";

/** Tells the fleet which node classes and models an instance has, and all that they take and give: megabytes, so they go compressed. */
export async function publishFacts(room: QueueRoom, facts: InstanceFacts): Promise<void> {
  const { fingerprint, classes, objectInfo, modelLists } = facts;
  const compress = promisify(gzip);
  await publishClasses(room, fingerprint, classes);
  await publishObjectInfo(room, objectInfo.sha256, await compress(objectInfo.json));
  await publishModelLists(room, modelLists.sha256, await compress(modelLists.json));
}
