import busboy from "busboy";
import type { ApiRequest } from "./ApiRequest.ts";

/** One file of a form, whole. */
export interface FormFile {
  readonly filename: string;
  readonly content: Buffer;
}

/** A multipart form. A field that came twice keeps its first value. */
export interface Form {
  readonly fields: ReadonlyMap<string, string>;
  readonly files: ReadonlyMap<string, FormFile>;
}

/** Reads a multipart form. @throws BodyTooLarge | Error when it is none */
export async function readForm(request: ApiRequest): Promise<Form> {
  const fields = new Map<string, string>();
  const files = new Map<string, FormFile>();
  const parser = busboy({ headers: request.headers, preservePath: true, defParamCharset: "utf8" });
  parser.on("field", (name, value) => {
    if (!fields.has(name)) fields.set(name, value);
  });
  parser.on("file", (name, stream, { filename }) => {
    const pieces: Buffer[] = [];
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.on("end", () => files.set(name, { filename: filename ?? "", content: Buffer.concat(pieces) }));
  });
  const ended = new Promise<void>((resolve, reject) => {
    parser.on("close", resolve);
    parser.on("error", reject);
  });
  for await (const piece of request.pieces()) parser.write(piece);
  parser.end();
  await ended;
  return { fields, files };
}
