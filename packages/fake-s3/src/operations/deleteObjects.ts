import { type Answer, type Call, xmlAnswer } from "../call.ts";
import { removeObject } from "../commitObject.ts";
import { FakeS3Error } from "../fakeS3Error.ts";
import { receiveText } from "../receiveBody.ts";
import { findBucket } from "../world.ts";
import { findElements, findText, renderXml } from "../xml.ts";

const MOST_KEYS = 1000;

export async function deleteObject({ world, target }: Call): Promise<Answer> {
  await removeObject(world, target.bucket, target.key);
  return { status: 204 };
}

/** Many keys in one request; S3 insists on a checksum or Content-MD5 of the document. */
export async function deleteObjects(call: Call): Promise<Answer> {
  const { world, target } = call;
  findBucket(world, target.bucket);
  const headers = Object.keys(target.headers);
  if (!headers.some((name) => name === "content-md5" || name.startsWith("x-amz-checksum-"))) {
    throw new FakeS3Error(
      "InvalidRequest",
      "Missing required header for this request: Content-MD5 or x-amz-checksum-*",
    );
  }
  const xml = await receiveText(call);
  const keys = findElements(xml, "Object").map((object) => findText(object, "Key") ?? "");
  if (keys.length === 0 || keys.length > MOST_KEYS) {
    throw new FakeS3Error("MalformedXML", `A Delete must name 1 to ${MOST_KEYS} keys`);
  }
  await Promise.all(keys.map((key) => removeObject(world, target.bucket, key)));
  const quiet = findText(xml, "Quiet") === "true";
  return xmlAnswer(renderXml("DeleteResult", { Deleted: quiet ? undefined : keys.map((key) => ({ Key: key })) }));
}
