import { Agent } from "node:http";
import {
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { expect, test } from "vitest";
import { BUCKET, CREDENTIALS, refusal, setup } from "./setup.ts";

test("a wrong secret is refused with 403 and stores nothing", async () => {
  await using system = await setup();
  const thief = system.connect({ credentials: { ...CREDENTIALS, secretAccessKey: "guessed" } });
  const put = new PutObjectCommand({ Bucket: BUCKET, Key: "a", Body: "x" });
  expect(await refusal(thief.send(put))).toEqual({ name: "SignatureDoesNotMatch", status: 403 });
  expect(await refusal(thief.send(new HeadBucketCommand({ Bucket: BUCKET })))).toMatchObject({ status: 403 });
  expect(system.fake.stats()).toMatchObject({ objects: 0, refusedRequests: 2 });
});

test("an unknown key id and a request without signature are refused with 403", async () => {
  await using system = await setup();
  const stranger = system.connect({ credentials: { ...CREDENTIALS, accessKeyId: "stranger" } });
  expect(await refusal(stranger.send(new ListBucketsCommand({})))).toEqual({ name: "InvalidAccessKeyId", status: 403 });
  const anonymous = await fetch(`${system.fake.url}/${BUCKET}/a`);
  expect([anonymous.status, await anonymous.text()]).toEqual([
    403,
    expect.stringContaining("<Code>AccessDenied</Code>"),
  ]);
});

test("a request signed a quarter of an hour ago is refused", async () => {
  let serverMs = Date.UTC(2026, 0, 1);
  await using system = await setup({ nowMs: () => serverMs });
  const client = system.connect({ systemClockOffset: serverMs - Date.now() });
  await client.send(new HeadBucketCommand({ Bucket: BUCKET }));
  serverMs += 20 * 60 * 1000;
  expect(await refusal(client.send(new ListObjectsV2Command({ Bucket: BUCKET })))).toMatchObject({
    name: "RequestTimeTooSkewed",
  });
});

test("a signed link gives the object to anybody, under the name and type it was signed with", async () => {
  await using system = await setup();
  await system.put("a b/ü.txt", "hello");
  const command = new GetObjectCommand({
    Bucket: BUCKET,
    Key: "a b/ü.txt",
    ResponseContentDisposition: 'attachment; filename="x y.txt"',
    ResponseContentType: "application/octet-stream",
  });
  const answer = await fetch(await getSignedUrl(system.s3, command, { expiresIn: 60 }));
  expect([answer.status, await answer.text()]).toEqual([200, "hello"]);
  expect(answer.headers.get("content-disposition")).toBe('attachment; filename="x y.txt"');
  expect(answer.headers.get("content-type")).toBe("application/octet-stream");
});

test("a signed link that was changed in any part is refused", async () => {
  await using system = await setup();
  await system.put("a", "mine");
  await system.put("b", "not yours");
  const link = await getSignedUrl(system.s3, new GetObjectCommand({ Bucket: BUCKET, Key: "a" }), { expiresIn: 60 });
  const changed = [
    link.replace("/a?", "/b?"),
    link.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
    `${link}&response-content-type=text/html`,
    link.replace(/X-Amz-Signature=.{4}/, "X-Amz-Signature=0000"),
  ];
  const answers = await Promise.all(changed.map(async (url) => (await fetch(url)).status));
  expect(answers).toEqual([403, 403, 403, 403]);
  expect((await fetch(link, { method: "PUT", body: "x" })).status).toBe(403);
  expect((await fetch(link)).status).toBe(200);
});

test("a signed link ends when its time is over", async () => {
  let serverMs = Date.now();
  await using system = await setup({ nowMs: () => serverMs });
  await system.put("a", "x");
  const link = await getSignedUrl(system.s3, new GetObjectCommand({ Bucket: BUCKET, Key: "a" }), { expiresIn: 60 });
  expect((await fetch(link)).status).toBe(200);
  serverMs += 62_000;
  const late = await fetch(link);
  expect([late.status, await late.text()]).toEqual([403, expect.stringContaining("Request has expired")]);
});

test("a signed upload link takes the object, unless the link itself carries the checksum of an empty body", async () => {
  await using system = await setup();
  const command = new PutObjectCommand({ Bucket: BUCKET, Key: "up", ContentType: "image/png" });
  const presigner = system.connect({ requestChecksumCalculation: "WHEN_REQUIRED" });
  const upload = async (client: typeof presigner) =>
    fetch(await getSignedUrl(client, command, { expiresIn: 60 }), {
      method: "PUT",
      headers: { "content-type": "image/png" },
      body: "bytes",
    });
  expect((await upload(presigner)).status).toBe(200);
  expect((await upload(system.s3)).status).toBe(400);
  const head = await system.s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key: "up" }));
  expect(head).toMatchObject({ ContentLength: 5, ContentType: "image/png" });
});

test("the bucket may stand in the host name", async () => {
  await using system = await setup();
  const agent = new Agent({
    lookup: (_host, _options, found) => found(null, [{ address: "127.0.0.1", family: 4 }]),
  });
  const virtual = system.connect({
    endpoint: `http://localhost:${system.fake.port}`,
    forcePathStyle: false,
    requestHandler: { httpAgent: agent },
  });
  await virtual.send(new PutObjectCommand({ Bucket: BUCKET, Key: "deep/key", Body: "x" }));
  const listed = await system.s3.send(new ListObjectsV2Command({ Bucket: BUCKET }));
  expect(listed.Contents?.map((each) => each.Key)).toEqual(["deep/key"]);
  agent.destroy();
});
