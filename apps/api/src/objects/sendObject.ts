import { pipeline } from "node:stream/promises";
import { attachmentHeader, type ObjectFacts, type Storage, safeContentType } from "@comfyq/storage";
import { ApiError } from "../errors.ts";
import type { Call } from "../route.ts";
import { parseRange } from "./byteRange.ts";

/** What is sent, and as what. */
export interface SentObject {
  readonly key: string;
  readonly name: string;
  /** Default is the stored one. */
  readonly contentType?: string | undefined;
  /** sha256 in hex, when it is known: a better ETag than a date. */
  readonly sha256?: string | undefined;
  /** Save it, whatever it is; else pictures, sound and films are shown. */
  readonly mustDownload?: boolean;
}

/** What a browser may show from our address: nothing that can carry a script. */
const SHOWN = /^(?:image\/(?:png|jpeg|webp|gif|avif|apng|bmp)|video\/[\w.+-]+|audio\/[\w.+-]+|text\/plain)(?:;|$)/i;

/**
 * Sends one object of a store: whole or a range of it, with ETag, and headers that keep a browser from running it.
 * @throws ApiError `not_found` when it is not there any more
 */
export async function sendObject(storage: Storage, call: Call, object: SentObject): Promise<void> {
  const { req, res, signal } = call;
  const facts = await storage.head(object.key);
  if (!facts)
    throw new ApiError("not_found", "This file is not in the store any more; it was swept, or removed by hand");
  const etag = object.sha256 === undefined ? facts.etag : `"${object.sha256}"`;
  setHeaders(call, { object, facts, etag });
  if (etag !== undefined && req.get("if-none-match")?.includes(etag)) return void res.status(304).end();
  const isOtherVersion = req.get("if-range") !== undefined && req.get("if-range") !== etag;
  const range = parseRange(isOtherVersion ? undefined : req.get("range"), facts.totalBytes);
  if (range === "unsatisfiable") return void res.status(416).set("Content-Range", `bytes */${facts.totalBytes}`).end();
  const sizeBytes = range === "whole" ? facts.totalBytes : range.end - range.start + 1;
  if (range !== "whole") res.status(206).set("Content-Range", `bytes ${range.start}-${range.end}/${facts.totalBytes}`);
  res.set("Content-Length", String(sizeBytes));
  if (req.method === "HEAD") return void res.end();
  const { body } = await storage.get(object.key, range === "whole" ? { signal } : { range, signal });
  await pipeline(body, res);
}

function setHeaders(
  { res }: Call,
  {
    object,
    facts,
    etag,
  }: { readonly object: SentObject; readonly facts: ObjectFacts; readonly etag: string | undefined },
): void {
  const type = safeContentType(object.contentType ?? facts.contentType);
  const save = attachmentHeader(object.name);
  res.set({
    "Content-Type": type,
    "Content-Disposition": object.mustDownload || !SHOWN.test(type) ? save : save.replace("attachment", "inline"),
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, max-age=3600",
    "Last-Modified": new Date(facts.lastModifiedMs).toUTCString(),
    ...(etag === undefined ? {} : { ETag: etag }),
  });
}
