import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { FileInfo } from "busboy";
import type { Request } from "express";
import { parseForm } from "../body/parseForm.ts";
import { readBody } from "../body/readBody.ts";
import { ApiError } from "../errors.ts";

/** Rows in a file of their own, beside the JSON that says what they are rows of. */
export interface RowsFile {
  readonly form: "csv" | "jsonl";
  readonly bytes: Buffer;
}

/** A request for a batch, as bytes. */
export interface BatchRequest {
  readonly json: Buffer;
  readonly file: RowsFile | undefined;
}

const FORM_HINT =
  "send the parts batch (JSON) and rows (a .csv or .jsonl file), as curl -F batch=@batch.json -F rows=@rows.csv";

/**
 * Reads JSON, or a form of two parts: `batch`, the same JSON without its rows, and `rows`, a file.
 * @throws ApiError `unsupported_media_type` | `payload_too_large` | `invalid_request`
 */
export async function readBatchRequest(req: Request, maxBytes: number): Promise<BatchRequest> {
  if (!/^multipart\/form-data\b/i.test(req.get("content-type") ?? ""))
    return { json: await readBody(req, maxBytes), file: undefined };
  const parts = await readParts(req, maxBytes);
  const { batch, rows } = parts;
  if (!batch) throw new ApiError("invalid_request", `The form has no part named batch; ${FORM_HINT}`);
  return { json: batch.bytes, file: rows && { form: formOf(rows), bytes: rows.bytes } };
}

interface Part {
  readonly name: string;
  readonly type: string;
  readonly bytes: Buffer;
}

async function readParts(req: Request, maxBytes: number): Promise<{ readonly batch?: Part; readonly rows?: Part }> {
  const parts: Record<string, Promise<Part> | Part> = {};
  const form = {
    limits: { files: 2, fileSize: maxBytes + 1, fields: 4, fieldSize: maxBytes + 1, parts: 6 },
    onFile: (field: string, stream: Readable, { filename, mimeType }: FileInfo) => {
      const part = buffer(stream).then((bytes) => {
        if (bytes.length > maxBytes) throw tooLarge(maxBytes);
        return { name: filename ?? "", type: mimeType, bytes };
      });
      part.catch(() => undefined); // awaited below
      parts[field] = part;
    },
    onField: (field: string, text: string) => {
      parts[field] = { name: "", type: "text/plain", bytes: Buffer.from(text) };
    },
  };
  try {
    await parseForm(req, form);
    const [batch, rows] = await Promise.all([parts["batch"], parts["rows"]]);
    return { ...(batch && { batch }), ...(rows && { rows }) };
  } catch (cause) {
    if (cause instanceof ApiError) throw cause;
    throw new ApiError("invalid_request", `The form ended early or is malformed; ${FORM_HINT}`, { cause });
  }
}

/** By its name, else by what the client says it is. */
function formOf({ name, type }: Part): RowsFile["form"] {
  if (/\.(jsonl|ndjson)$/i.test(name) || /\b(x-ndjson|ndjson|jsonl|jsonlines)\b/i.test(type)) return "jsonl";
  if (/\.(csv|tsv|txt)$/i.test(name) || /^text\//i.test(type)) return "csv";
  throw new ApiError("unsupported_media_type", "The part rows must be a .csv or a .jsonl file", {
    details: [{ path: "rows", message: `is ${type}, named ${JSON.stringify(name)}` }],
  });
}

function tooLarge(maxBytes: number): ApiError {
  return new ApiError("payload_too_large", `A part of the form is larger than ${maxBytes} bytes; send fewer rows`);
}
