import { createHash, createHmac } from "node:crypto";
import { sameText } from "./checksums.ts";
import { FakeS3Error } from "./fakeS3Error.ts";
import { encodePath, encodeStrictly } from "./query.ts";
import type { Target } from "./target.ts";

/** The one account of this server. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** A proven signature: what is left to check is the body. */
export interface Proof {
  /** `x-amz-content-sha256`: a hex digest, `UNSIGNED-PAYLOAD` or `STREAMING-…`. */
  readonly payloadHash: string;
  readonly signature: string;
  readonly signingKey: Buffer;
  readonly amzDate: string;
  readonly scope: string;
}

interface Claim {
  readonly accessKeyId: string;
  readonly scope: string;
  readonly amzDate: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly payloadHash: string;
}

const ALGORITHM = "AWS4-HMAC-SHA256";
const LARGEST_SKEW_MS = 15 * 60 * 1000;
const LONGEST_LINK_SECONDS = 7 * 24 * 60 * 60;

/**
 * Checks AWS Signature Version 4, in the `Authorization` header or in the query of a presigned link.
 * Source: AWS "Authenticating Requests (AWS Signature Version 4)"; S3 encodes the path once, not twice.
 * @throws FakeS3Error `AccessDenied` | `InvalidAccessKeyId` | `SignatureDoesNotMatch` | `RequestTimeTooSkewed`
 */
export function proveSignature(target: Target, credentials: Credentials, nowMs: number): Proof {
  const presigned = target.query.has("X-Amz-Signature");
  const claim = presigned ? claimFromQuery(target, nowMs) : claimFromHeader(target, nowMs);
  if (!sameText(claim.accessKeyId, credentials.accessKeyId)) {
    throw new FakeS3Error("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.");
  }
  const signingKey = deriveKey(credentials.secretAccessKey, claim.scope);
  const wanted = hmacHex(signingKey, stringToSign(target, claim));
  if (!sameText(wanted, claim.signature)) {
    throw new FakeS3Error("SignatureDoesNotMatch", "The request signature we calculated does not match yours.");
  }
  const { signature, amzDate, scope, payloadHash } = claim;
  return { signature, signingKey, amzDate, scope, payloadHash };
}

/** HMAC-SHA256 of `text`, in lower-case hex. */
export function hmacHex(key: Buffer, text: string): string {
  return createHmac("sha256", key).update(text).digest("hex");
}

function claimFromHeader(target: Target, nowMs: number): Claim {
  const authorization = target.headers["authorization"] ?? "";
  const match =
    /^AWS4-HMAC-SHA256\s+Credential=([^/,]+)\/([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]+)$/.exec(
      authorization,
    );
  if (!match) throw new FakeS3Error("AccessDenied", "Access Denied: no AWS Signature Version 4 in this request");
  const [, accessKeyId = "", scope = "", signedHeaders = "", signature = ""] = match;
  const amzDate = target.headers["x-amz-date"] ?? "";
  if (Math.abs(parseAmzDate(amzDate) - nowMs) > LARGEST_SKEW_MS) {
    throw new FakeS3Error("RequestTimeTooSkewed", "The difference between the request time and our time is too large.");
  }
  const payloadHash = target.headers["x-amz-content-sha256"] ?? "UNSIGNED-PAYLOAD";
  return { accessKeyId, scope, amzDate, signedHeaders: signedHeaders.split(";"), signature, payloadHash };
}

function claimFromQuery({ query }: Target, nowMs: number): Claim {
  const [accessKeyId = "", ...scope] = (query.get("X-Amz-Credential") ?? "").split("/");
  const amzDate = query.get("X-Amz-Date") ?? "";
  const ttlSeconds = Number(query.get("X-Amz-Expires"));
  const signedAtMs = parseAmzDate(amzDate);
  if (query.get("X-Amz-Algorithm") !== ALGORITHM || !(ttlSeconds > 0 && ttlSeconds <= LONGEST_LINK_SECONDS)) {
    throw new FakeS3Error("AccessDenied", "This link is not signed the way Signature Version 4 wants it");
  }
  if (nowMs > signedAtMs + ttlSeconds * 1000) throw new FakeS3Error("AccessDenied", "Request has expired");
  if (nowMs < signedAtMs - LARGEST_SKEW_MS) throw new FakeS3Error("AccessDenied", "Request is not yet valid");
  return {
    accessKeyId,
    scope: scope.join("/"),
    amzDate,
    signedHeaders: (query.get("X-Amz-SignedHeaders") ?? "host").split(";"),
    signature: query.get("X-Amz-Signature") ?? "",
    payloadHash: query.get("X-Amz-Content-Sha256") ?? "UNSIGNED-PAYLOAD",
  };
}

function stringToSign(target: Target, claim: Claim): string {
  const canonicalRequest = [
    target.method,
    encodePath(target.path),
    canonicalQuery(target),
    ...claim.signedHeaders.map((name) => `${name}:${(target.headers[name] ?? "").trim().replace(/\s+/g, " ")}`),
    "",
    claim.signedHeaders.join(";"),
    claim.payloadHash,
  ].join("\n");
  const digest = createHash("sha256").update(canonicalRequest).digest("hex");
  return [ALGORITHM, claim.amzDate, claim.scope, digest].join("\n");
}

function canonicalQuery({ pairs }: Target): string {
  return (
    pairs
      .filter(([name]) => name !== "X-Amz-Signature")
      .map(([name, value]) => [encodeStrictly(name), encodeStrictly(value)] as const)
      // by name, then by value: sorting the joined text would put `a-b=` before `a=`
      .sort(([a, x], [b, y]) => (a === b ? compare(x, y) : compare(a, b)))
      .map((pair) => pair.join("="))
      .join("&")
  );
}

function compare(left: string, right: string): number {
  return left < right ? -1 : Number(left > right);
}

function deriveKey(secret: string, scope: string): Buffer {
  const seed = Buffer.from(`AWS4${secret}`);
  return scope.split("/").reduce((key, part) => createHmac("sha256", key).update(part).digest(), seed);
}

/** `20130524T000000Z` in milliseconds since 1970. @throws FakeS3Error `AccessDenied` */
function parseAmzDate(text: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!match) throw new FakeS3Error("AccessDenied", "X-Amz-Date is missing or is not in the ISO 8601 basic format");
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
