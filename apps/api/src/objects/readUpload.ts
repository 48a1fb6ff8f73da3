import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { newId } from "@comfyq/runtime";
import { contentTypeOf, safeContentType } from "@comfyq/storage";
import busboy from "busboy";
import type { Request } from "express";
import { ApiError } from "../errors.ts";

/** Bytes that are to be kept, measured. */
export interface MeasuredFile {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Without folders and control characters. */
  readonly name: string;
  readonly contentType: string;
  open(): Readable;
}

/** One uploaded file, on our disk until it is disposed of. */
interface Upload extends MeasuredFile, AsyncDisposable {}

interface UploadLimits {
  /** Folder for the bytes while they are measured; made when it is not there. */
  readonly folder: string;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/**
 * Streams the file part of a multipart body to disk, hashing it on the way; memory stays flat. Disk first, because the
 * place in the store is named by the hash, which is known only at the end.
 * @throws ApiError `unsupported_media_type` | `payload_too_large` | `invalid_request`
 */
export async function readUpload(req: Request, limits: UploadLimits): Promise<Upload> {
  if (!/^multipart\/form-data\s*;.*boundary=/i.test(req.get("content-type") ?? ""))
    throw new ApiError(
      "unsupported_media_type",
      "This call takes multipart/form-data with one file, as curl -F file=@photo.png sends it",
    );
  await mkdir(limits.folder, { recursive: true, mode: 0o700 });
  const path = join(limits.folder, newId());
  const remove = () => rm(path, { force: true });
  try {
    const spooled = await spoolFirstFile(req, path, limits);
    return { ...spooled, open: () => createReadStream(path), [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

type Spooled = Omit<Upload, "open" | typeof Symbol.asyncDispose>;

async function spoolFirstFile(req: Request, path: string, limits: UploadLimits): Promise<Spooled> {
  const parser = parserFor(req, limits.maxBytes);
  let spooling: Promise<Spooled> | undefined;
  parser.on("file", (_field, part, { filename, mimeType }) => {
    const name = cleanName(filename);
    const known = contentTypeOf(name);
    const contentType = known === "application/octet-stream" ? safeContentType(mimeType) : known;
    spooling = spool(part, path, limits).then((measured) => ({ ...measured, name, contentType }));
    spooling.catch(() => undefined); // awaited below, once the parser is through
  });
  try {
    await pipeline(req, parser, { signal: limits.signal });
  } catch (cause) {
    await spooling?.catch(() => undefined);
    if (cause instanceof ApiError) throw cause;
    throw new ApiError("invalid_request", "The multipart body ended early or is malformed; send it again", { cause });
  }
  if (!spooling)
    throw new ApiError("invalid_request", "There is no file in the body; send one, as curl -F file=@photo.png does", {
      details: [{ path: "file", message: "is missing" }],
    });
  const spooled = await spooling;
  if (spooled.sizeBytes === 0)
    throw new ApiError("invalid_request", `The file ${JSON.stringify(spooled.name)} is empty`);
  return spooled;
}

function parserFor(req: Request, maxBytes: number): busboy.Busboy {
  try {
    return busboy({
      headers: req.headers,
      defParamCharset: "utf8",
      // one more: busboy calls a file truncated when it has just reached the limit
      limits: { files: 1, fileSize: maxBytes + 1, fields: 20, fieldSize: 65_536, parts: 32 },
    });
  } catch (cause) {
    throw new ApiError("invalid_request", "The Content-Type has no boundary that can be read; let your client set it", {
      cause,
    });
  }
}

async function spool(
  part: Readable,
  path: string,
  { maxBytes, signal }: UploadLimits,
): Promise<Pick<Spooled, "sha256" | "sizeBytes">> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  await pipeline(
    part,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        sizeBytes += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(path, { flags: "wx", mode: 0o600 }),
    { signal },
  );
  if (sizeBytes > maxBytes)
    throw new ApiError(
      "payload_too_large",
      `The file is larger than ${maxBytes} bytes; make it smaller, or send it as a URL`,
      {
        headers: { Connection: "close" },
      },
    );
  return { sha256: hash.digest("hex"), sizeBytes };
}

function cleanName(filename: string | undefined): string {
  const bare = basename((filename ?? "").replaceAll("\\", "/"))
    .replace(/[\p{Cc}\p{Cf}]/gu, "")
    .normalize("NFC");
  return bare === "" || bare === "." || bare === ".." ? "file" : bare.slice(-200);
}
