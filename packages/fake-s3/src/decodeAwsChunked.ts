import { createHash } from "node:crypto";
import { ByteReader } from "./byteReader.ts";
import { sameText } from "./checksums.ts";
import { FakeS3Error } from "./fakeS3Error.ts";
import { hmacHex, type Proof } from "./signature.ts";

const EMPTY_SHA256 = createHash("sha256").digest("hex");

/** What must be known to read an aws-chunked body. */
export interface ChunkedBody {
  readonly source: AsyncIterable<Buffer>;
  readonly proof: Proof;
  /** Filled with the trailers (lower-case names) when the body has been read to its end. */
  readonly trailers: Map<string, string>;
}

/**
 * The bytes inside an aws-chunked body: `<hex size>[;chunk-signature=…]CRLF bytes CRLF … 0 CRLF trailers CRLF`.
 * The four `STREAMING-…` flavours differ in who is signed; each chunk's signature builds on the one before.
 * Source: AWS "Signature calculations for chunked uploads" and "…including trailing headers".
 * @throws FakeS3Error `SignatureDoesNotMatch` | `IncompleteBody` | `InvalidRequest`
 */
export async function* decodeAwsChunked({ source, proof, trailers }: ChunkedBody): AsyncGenerator<Buffer> {
  const reader = new ByteReader(source);
  const signed = proof.payloadHash.startsWith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
  let signature = proof.signature;
  for (;;) {
    const header = parseChunkHeader(await reader.readLine());
    const hash = createHash("sha256");
    for await (const piece of reader.readBytes(header.sizeBytes)) {
      if (signed) hash.update(piece);
      yield piece;
    }
    if (signed)
      signature = checkChunk(proof, { previous: signature, digest: hash.digest("hex"), given: header.signature });
    if (header.sizeBytes === 0) break;
    await reader.readLine();
  }
  await readTrailers(reader, trailers);
  if (signed && proof.payloadHash.endsWith("-TRAILER")) checkTrailers(proof, signature, trailers);
}

function parseChunkHeader(line: string): { sizeBytes: number; signature: string } {
  const match = /^([0-9a-f]+)(?:;chunk-signature=([0-9a-f]{64}))?$/i.exec(line);
  if (!match) throw new FakeS3Error("InvalidRequest", "The body is not aws-chunked as its headers say");
  return { sizeBytes: Number.parseInt(match[1] ?? "", 16), signature: match[2] ?? "" };
}

function checkChunk(proof: Proof, chunk: { previous: string; digest: string; given: string }): string {
  const text = ["AWS4-HMAC-SHA256-PAYLOAD", proof.amzDate, proof.scope, chunk.previous, EMPTY_SHA256, chunk.digest];
  const wanted = hmacHex(proof.signingKey, text.join("\n"));
  if (!sameText(wanted, chunk.given))
    throw new FakeS3Error("SignatureDoesNotMatch", "A chunk's signature does not match");
  return wanted;
}

async function readTrailers(reader: ByteReader, trailers: Map<string, string>): Promise<void> {
  for (let line = await reader.readLine(); line !== ""; line = await reader.readLine()) {
    const at = line.indexOf(":");
    trailers.set(line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim());
  }
}

function checkTrailers(proof: Proof, previous: string, trailers: ReadonlyMap<string, string>): void {
  // in the order they were sent, which is the order they were signed in
  const lines = [...trailers].filter(([name]) => name !== "x-amz-trailer-signature");
  const digest = createHash("sha256").update(lines.map(([name, value]) => `${name}:${value}\n`).join(""));
  const text = ["AWS4-HMAC-SHA256-TRAILER", proof.amzDate, proof.scope, previous, digest.digest("hex")];
  const given = trailers.get("x-amz-trailer-signature") ?? "";
  if (!sameText(hmacHex(proof.signingKey, text.join("\n")), given)) {
    throw new FakeS3Error("SignatureDoesNotMatch", "The trailers' signature does not match");
  }
}
