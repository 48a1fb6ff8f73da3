import type { Readable } from "node:stream";

/** Reads a small stream whole. For manifests and the like, never for outputs. */
export async function readAll(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
