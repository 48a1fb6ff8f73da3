import { type Checksum, checksumHeader } from "./checksums.ts";
import type { ObjectRecord } from "./objectIndex.ts";

export type Headers = Readonly<Record<string, string>>;

const KEPT_HEADERS = ["cache-control", "content-disposition", "content-language", "content-type", "expires"];

/** The headers that stay with an object. `aws-chunked` only described the way here. */
export function keptHeaders(headers: Headers): Headers {
  const encoding = (headers["content-encoding"] ?? "")
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "" && each !== "aws-chunked");
  const kept = Object.entries(headers).filter(
    ([name]) => KEPT_HEADERS.includes(name) || name.startsWith("x-amz-meta-"),
  );
  return {
    "content-type": "binary/octet-stream",
    ...Object.fromEntries(kept),
    ...(encoding.length > 0 && { "content-encoding": encoding.join(",") }),
  };
}

/** How a checksum is told: its value and whether it covers the object or its parts. */
export function checksumHeaders(checksum: Checksum | undefined): Headers {
  return checksum ? { [checksumHeader(checksum.algorithm)]: checksum.value, "x-amz-checksum-type": checksum.type } : {};
}

/** What HEAD and GET tell about an object. */
export function objectHeaders(record: ObjectRecord): Headers {
  return {
    ...record.headers,
    "accept-ranges": "bytes",
    etag: `"${record.etag}"`,
    "last-modified": new Date(record.lastModifiedMs).toUTCString(),
  };
}
