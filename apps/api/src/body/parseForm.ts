import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import busboy from "busboy";
import type { Request } from "express";
import { ApiError } from "../errors.ts";

interface FormParts {
  readonly limits: busboy.Limits;
  /** Must listen to the file at once, and take all of it. */
  readonly onFile: (field: string, file: Readable, facts: busboy.FileInfo) => void;
  readonly onField: (field: string, text: string) => void;
  /** Left out: until the form has ended. */
  readonly signal?: AbortSignal;
}

/**
 * Reads a multipart form through, part by part. The request stays whole, whatever is wrong with it: a pipeline would destroy it, and
 * what its client still sends would never be read, nor the next request on its connection.
 * @throws ApiError `invalid_request` when its boundary cannot be read; an error when it is malformed or ends early, or its client has
 * left; the signal's reason
 */
export async function parseForm(req: Request, { limits, onFile, onField, signal }: FormParts): Promise<void> {
  const parser = openParser(req, limits);
  parser.once("error", (error: Error) => parser.destroy(error));
  parser.on("field", onField);
  parser.on("file", (field, file, facts) => {
    if (parser.destroyed)
      file.destroy(); // behind a malformed header it begins files that it never ends
    else onFile(field, file, facts);
  });
  const leave = () => {
    if (!req.complete) parser.destroy(new Error("the client left before its form was complete"));
  };
  req.once("close", leave);
  if (req.destroyed) leave();
  req.pipe(parser);
  try {
    await finished(parser, signal ? { signal } : {});
  } finally {
    req.off("close", leave);
    req.unpipe(parser);
    parser.destroy();
  }
}

function openParser(req: Request, limits: busboy.Limits): busboy.Busboy {
  try {
    return busboy({ headers: req.headers, defParamCharset: "utf8", limits });
  } catch (cause) {
    throw new ApiError("invalid_request", "The Content-Type has no boundary that can be read; let your client set it", {
      cause,
    });
  }
}
