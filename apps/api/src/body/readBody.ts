import type { Request } from "express";
import { ApiError } from "../errors.ts";

/**
 * Reads a JSON body's bytes, and no more than `maxBytes` of them.
 * A body must say that it is JSON: a form on somebody's page cannot, so a visitor's browser cannot be made to submit jobs.
 * @throws ApiError `unsupported_media_type` | `payload_too_large`
 */
export async function readBody(req: Request, maxBytes: number): Promise<Buffer> {
  const type = req.get("content-type");
  if (type !== undefined && !/^application\/(?:[\w.+-]+\+)?json\b/i.test(type))
    throw new ApiError("unsupported_media_type", "This call takes JSON; send it with Content-Type: application/json");
  return readAnyBody(req, maxBytes);
}

/**
 * Reads a body's bytes, whatever they are said to be: for calls that a page of another origin cannot make anyway.
 * @throws ApiError `unsupported_media_type` when they are compressed | `payload_too_large`
 */
export async function readAnyBody(req: Request, maxBytes: number): Promise<Buffer> {
  if (!/^(?:identity)?$/i.test(req.get("content-encoding") ?? ""))
    throw new ApiError("unsupported_media_type", "Compressed bodies are not taken; send it without Content-Encoding");
  if (Number(req.get("content-length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  return collect(req, maxBytes);
}

/** By events: an async iterator costs a submission more than its checks do. */
function collect(req: Request, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    req.on("data", (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) reject(tooLarge(maxBytes));
      else chunks.push(chunk);
    });
    req.once("end", () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, sizeBytes)));
    req.once("error", reject);
    req.once("close", () => reject(new Error("the client left before its body was complete"))); // nothing happens after "end"
  });
}

function tooLarge(maxBytes: number): ApiError {
  return new ApiError(
    "payload_too_large",
    `The body is larger than ${maxBytes} bytes; upload big files with POST /v1/assets and name them as asset:<id>`,
    { headers: { Connection: "close" } },
  );
}
