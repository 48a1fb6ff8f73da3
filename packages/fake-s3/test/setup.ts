import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { PutObjectCommand, S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { type FakeS3Options, startFakeS3 } from "../src/index.ts";

export const CREDENTIALS = { accessKeyId: "key-id", secretAccessKey: "secret" };
export const BUCKET = "bucket-1";

/** One server in memory with one bucket, and a client of the real SDK that tries once. */
export async function setup(options: Partial<FakeS3Options> = {}) {
  const fake = await startFakeS3({ buckets: [BUCKET], ...CREDENTIALS, ...options });
  const clients: S3Client[] = [];
  const connect = (config: S3ClientConfig = {}) => {
    const client = new S3Client({
      endpoint: fake.url,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: CREDENTIALS,
      maxAttempts: 1,
      // the SDK's warnings about what these tests do on purpose
      logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
      ...config,
    });
    clients.push(client);
    return client;
  };
  const s3 = connect();
  return {
    fake,
    s3,
    connect,
    put: (key: string, body: string | Buffer) =>
      s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: key, Body: body, ContentType: "text/plain" })),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      await fake.close();
    },
  };
}

/** A stream of `sizeBytes` random bytes in small pieces, and the bytes. */
export function randomStream(sizeBytes: number): { bytes: Buffer; stream: Readable } {
  const bytes = randomBytes(sizeBytes);
  const pieces = function* () {
    for (let at = 0; at < bytes.length; at += 30_000) yield bytes.subarray(at, at + 30_000);
  };
  return { bytes, stream: Readable.from(pieces()) };
}

/** How a refused request looks to a client of the SDK. */
export async function refusal(sent: Promise<unknown>): Promise<{ name: string; status: number | undefined }> {
  const error = await sent.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Error)) throw new Error("the request was not refused");
  const metadata = "$metadata" in error ? (error.$metadata as { httpStatusCode?: number }) : undefined; // of the SDK
  return { name: error.name, status: metadata?.httpStatusCode };
}
