import { createHash } from "node:crypto";
import type { Blob } from "./blobShelf.ts";
import type { Call } from "./call.ts";
import { type ChecksumAlgorithm, checksumHeader, findAlgorithm, startChecksum } from "./checksums.ts";
import { decodeAwsChunked } from "./decodeAwsChunked.ts";
import { FakeS3Error } from "./fakeS3Error.ts";

/** A body that lies on the shelf and is what the client said it is. */
export interface ReceivedBody {
  readonly blob: Blob;
  readonly md5Hex: string;
  /** base64; `undefined` when the client named no algorithm. */
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string } | undefined;
}

/** Largest XML document a client may send. */
const LARGEST_DOCUMENT_BYTES = 4 * 1024 * 1024;

/**
 * Stores the body of a call, and checks its length, Content-MD5, x-amz-content-sha256 and x-amz-checksum-*.
 * @throws FakeS3Error `BadDigest` | `IncompleteBody` | `MissingContentLength` | `XAmzContentSHA256Mismatch` | …
 */
export async function receiveBody(call: Call): Promise<ReceivedBody> {
  const checks = startChecks(call);
  const blob = await call.world.shelf.write(checkedBytes(call, checks));
  return { blob, md5Hex: checks.finished.md5Hex, checksum: checks.finished.checksum };
}

/** The body of a call as text, checked the same way: the XML documents of DeleteObjects and Complete. */
export async function receiveText(call: Call): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of checkedBytes(call, startChecks(call))) {
    sizeBytes += piece.length;
    if (sizeBytes > LARGEST_DOCUMENT_BYTES) throw new FakeS3Error("MalformedXML", "The document is too large");
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

interface Checks {
  readonly update: (chunk: Buffer) => void;
  readonly compare: (trailers: ReadonlyMap<string, string>) => void;
  readonly finished: { md5Hex: string; checksum: ReceivedBody["checksum"] };
}

async function* checkedBytes(call: Call, checks: Checks): AsyncGenerator<Buffer> {
  const { proof, target, wire } = call;
  const announcedBytes = announcedLength(target.headers);
  const trailers = new Map<string, string>();
  const chunked = proof.payloadHash.startsWith("STREAMING-");
  let sizeBytes = 0;
  for await (const piece of chunked ? decodeAwsChunked({ source: wire, proof, trailers }) : wire) {
    sizeBytes += piece.length;
    checks.update(piece);
    yield piece;
  }
  if (sizeBytes !== announcedBytes) {
    throw new FakeS3Error("IncompleteBody", `${announcedBytes} bytes were announced and ${sizeBytes} came`);
  }
  checks.compare(trailers);
}

/** S3 wants to know the length beforehand, and knows Transfer-Encoding only around aws-chunked. */
function announcedLength(headers: Readonly<Record<string, string>>): number {
  const announced = headers["x-amz-decoded-content-length"] ?? headers["content-length"];
  if (announced !== undefined) return Number(announced);
  if (headers["transfer-encoding"] !== undefined) {
    throw new FakeS3Error("NotImplemented", "A header you provided implies functionality that is not implemented");
  }
  throw new FakeS3Error("MissingContentLength", "You must provide the Content-Length HTTP header.");
}

function startChecks({ target, proof }: Call): Checks {
  const algorithm = announcedAlgorithm(target.headers);
  const md5 = createHash("md5");
  const sha256 = /^[0-9a-f]{64}$/.test(proof.payloadHash) ? createHash("sha256") : undefined;
  const running = algorithm && startChecksum(algorithm);
  const finished: Checks["finished"] = { md5Hex: "", checksum: undefined };
  return {
    finished,
    update: (chunk) => {
      md5.update(chunk);
      sha256?.update(chunk);
      running?.update(chunk);
    },
    compare: (trailers) => {
      const md5Digest = md5.digest();
      finished.md5Hex = md5Digest.toString("hex");
      const wantedMd5 = target.headers["content-md5"];
      if (wantedMd5 !== undefined && wantedMd5 !== md5Digest.toString("base64")) refuse("Content-MD5");
      if (sha256 && sha256.digest("hex") !== proof.payloadHash) {
        throw new FakeS3Error("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' is not the body's.");
      }
      if (!algorithm || !running) return;
      const name = checksumHeader(algorithm);
      const value = running.finish().toString("base64");
      finished.checksum = { algorithm, value };
      const wanted = target.headers[name] ?? trailers.get(name);
      if (wanted !== undefined && wanted !== value) refuse(algorithm);
    },
  };
}

/** The algorithm named by a checksum header, by the announced trailer, or by `x-amz-sdk-checksum-algorithm`. */
function announcedAlgorithm(headers: Readonly<Record<string, string>>): ChecksumAlgorithm | undefined {
  const trailer = headers["x-amz-trailer"];
  const named = [...Object.keys(headers), ...(trailer ?? "").split(",")]
    .map((name) => /^\s*x-amz-checksum-([a-z0-9]+)\s*$/i.exec(name)?.[1])
    .find((name) => name !== undefined && !["mode", "type", "algorithm"].includes(name.toLowerCase()));
  const found = findAlgorithm(named ?? headers["x-amz-sdk-checksum-algorithm"]);
  if (named && !found) throw new FakeS3Error("NotImplemented", `This server cannot compute ${named}`);
  return found;
}

function refuse(what: string): never {
  throw new FakeS3Error("BadDigest", `The ${what} you specified did not match the one we computed.`);
}
