import type { Answer, Call } from "../call.ts";
import { commitObject } from "../commitObject.ts";
import { checkWriteConditions } from "../conditions.ts";
import { checksumHeaders, keptHeaders } from "../objectHeaders.ts";
import { receiveBody } from "../receiveBody.ts";
import { findBucket } from "../world.ts";

export async function putObject(call: Call): Promise<Answer> {
  const { world, target } = call;
  // refused early to spare the body, and again when it has come: another writer may have been faster
  checkWriteConditions(target.headers, findBucket(world, target.bucket).find(target.key));
  const received = await receiveBody(call);
  const checksum = received.checksum && ({ ...received.checksum, type: "FULL_OBJECT" } as const);
  const record = await commitObject(call, {
    key: target.key,
    blobs: [received.blob],
    sizeBytes: received.blob.sizeBytes,
    etag: received.md5Hex,
    headers: keptHeaders(target.headers),
    ...(checksum && { checksum }),
    lastModifiedMs: world.nowMs(),
  });
  return { status: 200, headers: { etag: `"${record.etag}"`, ...checksumHeaders(record.checksum) } };
}
