import type { Call } from "./call.ts";
import { checkWriteConditions } from "./conditions.ts";
import type { ObjectRecord } from "./objectIndex.ts";
import { findBucket, type World } from "./world.ts";

/**
 * Makes an object visible if the call's conditions hold, in one turn; else takes its bytes away again.
 * @throws FakeS3Error `PreconditionFailed` | `NoSuchBucket`
 */
export async function commitObject({ world, target }: Call, record: ObjectRecord): Promise<ObjectRecord> {
  let before: ObjectRecord | undefined;
  try {
    const bucket = findBucket(world, target.bucket);
    checkWriteConditions(target.headers, bucket.find(record.key));
    before = bucket.put(record);
  } catch (error) {
    await Promise.all(record.blobs.map((blob) => world.shelf.remove(blob)));
    throw error;
  }
  await world.index.save(target.bucket, record);
  if (before) await Promise.all(before.blobs.map((blob) => world.shelf.remove(blob)));
  return record;
}

/** Removes an object and its bytes; nothing happens when there is none. @throws FakeS3Error `NoSuchBucket` */
export async function removeObject(world: World, bucket: string, key: string): Promise<void> {
  const before = findBucket(world, bucket).remove(key);
  if (!before) return;
  await world.index.erase(bucket, key);
  await Promise.all(before.blobs.map((blob) => world.shelf.remove(blob)));
}
