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
  if (!/^(?:identity)?$/i.test(req.get("content-encoding") ?? ""))
    throw new ApiError("unsupported_media_type", "Compressed bodies are not taken; send it without Content-Encoding");
  const tooLarge = new ApiError(
    "payload_too_large",
    `The body is larger than ${maxBytes} bytes; upload big files with POST /v1/assets and name them as asset:<id>`,
    { headers: { Connection: "close" } },
  );
  if (Number(req.get("content-length") ?? 0) > maxBytes) throw tooLarge;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    // no encoding is set
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) throw tooLarge;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, sizeBytes);
}
