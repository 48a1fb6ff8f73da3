import { GetObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { expect, test } from "vitest";
import { BUCKET, refusal, setup } from "./setup.ts";

test("If-None-Match: * lets exactly one of many writers through", async () => {
  await using system = await setup();
  const writers = Array.from({ length: 10 }, (_, index) =>
    system.s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: "seal", Body: `writer ${index}`, IfNoneMatch: "*" })),
  );
  const outcomes = await Promise.allSettled(writers);
  const winner = outcomes.findIndex((outcome) => outcome.status === "fulfilled");
  expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toHaveLength(1);
  const got = await system.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: "seal" }));
  expect(await got.Body?.transformToString()).toBe(`writer ${winner}`);
});

test("a refused conditional put answers 412 and leaves no bytes behind", async () => {
  await using system = await setup();
  await system.put("seal", "first");
  const put = new PutObjectCommand({ Bucket: BUCKET, Key: "seal", Body: "second, longer", IfNoneMatch: "*" });
  expect(await refusal(system.s3.send(put))).toEqual({ name: "PreconditionFailed", status: 412 });
  expect(system.fake.stats()).toMatchObject({ objects: 1, storedBytes: 5 });
});

test("a slow conditional writer loses to one that came later and was faster", async () => {
  await using system = await setup();
  const put = (Body: string | Buffer) =>
    system.s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: "seal", Body, IfNoneMatch: "*" }));
  const hold = system.fake.faults.add({ kind: "stall", afterBytes: 1, on: ["PutObject"], times: 1 });
  const slow = refusal(put("the slow one"));
  await expect.poll(() => system.fake.stats().bytesIn, { timeout: 15_000 }).toBe(1);
  await put("the fast one");
  hold.remove();
  expect(await slow).toMatchObject({ status: 412 });
  expect(system.fake.stats()).toMatchObject({ objects: 1, storedBytes: "the fast one".length });
});

test("If-Match replaces only the version it names", async () => {
  await using system = await setup();
  const { ETag } = await system.put("a", "first");
  const put = (Body: string, IfMatch: string) =>
    system.s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: "a", Body, IfMatch }));
  await put("second", ETag ?? "");
  expect(await refusal(put("third", ETag ?? ""))).toMatchObject({ status: 412 });
  const missing = new PutObjectCommand({ Bucket: BUCKET, Key: "none", Body: "x", IfMatch: ETag });
  expect(await refusal(system.s3.send(missing))).toMatchObject({ name: "NoSuchKey" });
});

test("a read with If-None-Match of the same version answers 304, with If-Match of another 412", async () => {
  await using system = await setup();
  const { ETag } = await system.put("a", "bytes");
  const get = (conditions: { IfNoneMatch?: string; IfMatch?: string }) =>
    refusal(system.s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: "a", ...conditions })));
  expect(await get({ IfNoneMatch: ETag ?? "" })).toMatchObject({ status: 304 });
  expect(await get({ IfMatch: '"other"' })).toMatchObject({ status: 412 });
});
