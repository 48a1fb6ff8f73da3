import { type Answer, type Call, xmlAnswer } from "../call.ts";
import { FakeS3Error } from "../fakeS3Error.ts";
import { addBucket, findBucket } from "../world.ts";
import { renderXml } from "../xml.ts";

export async function createBucket({ world, target }: Call): Promise<Answer> {
  if (world.buckets.has(target.bucket)) {
    throw new FakeS3Error("BucketAlreadyOwnedByYou", "Your previous request to create this bucket succeeded.");
  }
  await addBucket(world, target.bucket);
  return { status: 200, headers: { location: `/${target.bucket}` } };
}

export async function deleteBucket({ world, target }: Call): Promise<Answer> {
  if (findBucket(world, target.bucket).keys.length > 0) {
    throw new FakeS3Error("BucketNotEmpty", "The bucket you tried to delete is not empty");
  }
  world.buckets.delete(target.bucket);
  await world.index.eraseBucket(target.bucket);
  return { status: 204 };
}

export async function headBucket({ world, target }: Call): Promise<Answer> {
  findBucket(world, target.bucket);
  return { status: 200, headers: { "x-amz-bucket-region": "us-east-1" } };
}

export async function getBucketLocation({ world, target }: Call): Promise<Answer> {
  findBucket(world, target.bucket);
  // an empty one means us-east-1
  return xmlAnswer(renderXml("LocationConstraint", {}));
}

export async function listBuckets({ world }: Call): Promise<Answer> {
  const buckets = [...world.buckets.keys()].sort().map((name) => ({
    Name: name,
    CreationDate: new Date(0).toISOString(),
  }));
  return xmlAnswer(renderXml("ListAllMyBucketsResult", { Buckets: { Bucket: buckets } }));
}
