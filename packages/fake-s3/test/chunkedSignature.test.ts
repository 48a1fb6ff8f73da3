import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { decodeAwsChunked } from "../src/decodeAwsChunked.ts";
import { hmacHex, proveSignature } from "../src/signature.ts";
import type { Target } from "../src/target.ts";

// The example of AWS: "Signature calculations for the Authorization header: transferring payload in multiple chunks".
const EXAMPLE_MS = Date.UTC(2013, 4, 24);
const CREDENTIALS = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const CHUNKS = [
  { text: "a".repeat(65536), signature: "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648" },
  { text: "a".repeat(1024), signature: "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497" },
  { text: "", signature: "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9" },
];

function exampleTarget(payloadHash = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"): Target {
  const signedHeaders =
    "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class";
  const headers = {
    host: "s3.amazonaws.com",
    "x-amz-date": "20130524T000000Z",
    "x-amz-storage-class": "REDUCED_REDUNDANCY",
    "x-amz-content-sha256": payloadHash,
    "content-encoding": "aws-chunked",
    "x-amz-decoded-content-length": "66560",
    "content-length": "66824",
    authorization: `AWS4-HMAC-SHA256 Credential=${CREDENTIALS.accessKeyId}/20130524/us-east-1/s3/aws4_request,SignedHeaders=${signedHeaders},Signature=${SEED}`,
  };
  const path = "/examplebucket/chunkObject.txt";
  return { method: "PUT", path, pairs: [], query: new Map(), headers, bucket: "examplebucket", key: "chunkObject.txt" };
}

function encode(chunks: readonly { text: string; signature: string }[], trailer = ""): string {
  const lines = chunks.map(({ text, signature }) => {
    const head = `${text.length.toString(16)};chunk-signature=${signature}\r\n`;
    return text === "" ? head : `${head}${text}\r\n`;
  });
  return [...lines, trailer, "\r\n"].join("");
}

/** Feeds a body in pieces that fit no boundary. */
async function* inPieces(body: string): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(body);
  for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777);
}

async function read(body: string, proof = proveSignature(exampleTarget(), CREDENTIALS, EXAMPLE_MS)): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of decodeAwsChunked({ source: inPieces(body), proof, trailers: new Map() }))
    pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

test("the chunk signatures of AWS's own example are accepted", async () => {
  expect(await read(encode(CHUNKS))).toBe("a".repeat(66560));
});

test("a changed byte, a missing chunk and a cut body are noticed", async () => {
  const changed = encode(CHUNKS).replace("aaa", "aab");
  await expect(read(changed)).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
  await expect(read(encode(CHUNKS.toSpliced(1, 1)))).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
  await expect(read(encode(CHUNKS).slice(0, 66_000))).rejects.toMatchObject({ code: "IncompleteBody" });
  await expect(read("not chunked at all\r\n")).rejects.toMatchObject({ code: "InvalidRequest" });
});

test("signed trailers are accepted, and noticed when they were changed", async () => {
  const payloadHash = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
  const seed = proveSignature(exampleTarget(), CREDENTIALS, EXAMPLE_MS);
  const proof = { ...seed, payloadHash };
  const digest = createHash("sha256").update("x-amz-checksum-crc32c:sOO8/Q==\n").digest("hex");
  const text = ["AWS4-HMAC-SHA256-TRAILER", proof.amzDate, proof.scope, CHUNKS[2]?.signature, digest].join("\n");
  const trailer = `x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:${hmacHex(proof.signingKey, text)}\r\n`;
  expect(await read(encode(CHUNKS, trailer), proof)).toHaveLength(66560);
  const changed = encode(CHUNKS, trailer.replace("sOO8", "sOO9"));
  await expect(read(changed, proof)).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
});
