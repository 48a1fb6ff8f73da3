import { basename } from "node:path";
import type { Readable } from "node:stream";
import { contentTypeOf, safeContentType } from "@comfyq/storage";
import type { Request } from "express";
import { parseForm } from "../body/parseForm.ts";
import { ApiError } from "../errors.ts";
import type { Digests } from "./digest.ts";
import { prepareSpool, type SpoolLimits } from "./spoolFile.ts";

/** Bytes that are to be kept, measured. */
export interface MeasuredFile extends Digests {
  readonly sizeBytes: number;
  /** Without folders and control characters. */
  readonly name: string;
  readonly contentType: string;
  open(): Readable;
}

/** One uploaded file, on our disk until it is disposed of. */
export interface Upload extends MeasuredFile, AsyncDisposable {
  /** What else the form said, in the order it came. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
}

/**
 * Streams the file part of a multipart body to disk.
 * @throws ApiError `unsupported_media_type` | `payload_too_large` | `invalid_request`
 */
export async function readUpload(req: Request, limits: SpoolLimits): Promise<Upload> {
  if (!/^multipart\/form-data\s*;.*boundary=/i.test(req.get("content-type") ?? ""))
    throw new ApiError(
      "unsupported_media_type",
      "This call takes multipart/form-data with one file, as curl -F file=@photo.png sends it",
    );
  const spooled = await spoolFirstFile(req, limits);
  if (spooled.sizeBytes > 0) return spooled;
  await spooled[Symbol.asyncDispose]();
  throw new ApiError("invalid_request", `The file ${JSON.stringify(spooled.name)} is empty`);
}

async function spoolFirstFile(req: Request, limits: SpoolLimits): Promise<Upload> {
  const fill = await prepareSpool(limits); // before the parser begins: a part that nobody listens to is an error of nobody
  let spooling: Promise<Upload> | undefined;
  const fields = new Map<string, readonly string[]>();
  try {
    await parseForm(req, {
      // one more: busboy calls a file truncated when it has just reached the limit
      limits: { files: 1, fileSize: limits.maxBytes + 1, fields: 20, fieldSize: 65_536, parts: 32 },
      onFile: (_field, part, { filename, mimeType }) => {
        const name = cleanName(filename);
        const contentType = typeFor(name, mimeType);
        spooling = fill(part).then((spooled) => ({ ...spooled, name, contentType, fields }));
        spooling.catch(() => undefined); // awaited below, once the parser is through
      },
      onField: (name, value) => void fields.set(name, [...(fields.get(name) ?? []), value]),
      signal: limits.signal,
    });
  } catch (cause) {
    await spooling?.then((spooled) => spooled[Symbol.asyncDispose]()).catch(() => undefined);
    if (cause instanceof ApiError) throw cause;
    throw new ApiError("invalid_request", "The multipart body ended early or is malformed; send it again", { cause });
  }
  if (spooling) return spooling;
  throw new ApiError("invalid_request", "There is no file in the body; send one, as curl -F file=@photo.png does", {
    details: [{ path: "file", message: "is missing" }],
  });
}

/** What a file is kept as: by its name, else by what the client says. */
export function typeFor(name: string, declared: string | undefined): string {
  const known = contentTypeOf(name);
  return known === "application/octet-stream" && declared !== undefined ? safeContentType(declared) : known;
}

/** A file's name without folders and what a terminal or a header would take amiss. */
export function cleanName(filename: string | undefined): string {
  const bare = basename((filename ?? "").replaceAll("\\", "/"))
    .replace(/[\p{Cc}\p{Cf}]/gu, "")
    .normalize("NFC");
  return bare === "" || bare === "." || bare === ".." ? "file" : bare.slice(-200);
}
