import { ComfyError } from "./errors.ts";
import type { FileAddress, ViewedFile, ViewOptions } from "./files.ts";
import { errorOfStatus, type Http, type StreamedAnswer } from "./http.ts";
import { checkFolder, checkName } from "./safePath.ts";
import { PATHS } from "./wire/index.ts";

/**
 * Streams one file of the server. `/view` uses the last part of a name only (§1.5), so folders inside `filename` are
 * moved to `subfolder`, which it does respect.
 * @throws ComfyError `unsafe_path` | `not_found` | `unreachable` | `busy` | `unauthorized`
 */
export async function viewFile(file: FileAddress, http: Http, { signal, range }: ViewOptions): Promise<ViewedFile> {
  const query = addressOf(file);
  const headers = range ? { headers: { range: `bytes=${range.start}-${lastOf(range)}` } } : {};
  const answer = await http.stream({ method: "GET", path: PATHS.view, query, signal, ...headers });
  if (answer.status === 200) return opened(answer);
  const ranged = answer.status === 206 && range ? openedRange(answer, range.start) : undefined;
  if (ranged) return ranged;
  answer.body.on("error", () => {}).destroy();
  // an empty file has no range, and what is no range that we understand is asked for as a whole
  if (range?.start === 0 && (answer.status === 416 || answer.status === 206)) return viewFile(file, http, { signal });
  const what = `The file ${JSON.stringify(query.filename)} (${query.type})`;
  if (answer.status === 404)
    throw new ComfyError("not_found", `${what} is not on the server (any more).`, { facts: { httpStatus: 404 } });
  throw errorOfStatus(answer, what);
}

/**
 * How long a file of the server is; undefined when it is not there, or the server does not tell. Asks for its head only.
 * @throws ComfyError `unsafe_path` | `unreachable` | `busy`
 */
export async function fileSize(file: FileAddress, http: Http, signal?: AbortSignal): Promise<number | undefined> {
  const answer = await http.send({ method: "HEAD", path: PATHS.view, query: addressOf(file), signal });
  const { "content-length": length, "content-encoding": encoding } = answer.headers;
  const sizeBytes = answer.status === 200 && encoding === undefined && length ? Number(length) : Number.NaN;
  return Number.isSafeInteger(sizeBytes) ? sizeBytes : undefined;
}

function addressOf({ filename, subfolder = "", type = "output" }: FileAddress) {
  checkFolder(filename);
  checkFolder(subfolder);
  const parts = filename.split(/[/\\]/);
  const name = parts.pop() ?? "";
  checkName(name);
  return { filename: name, subfolder: [subfolder, ...parts].filter(Boolean).join("/"), type };
}

function lastOf({ end }: NonNullable<ViewOptions["range"]>): string {
  return end === undefined ? "" : String(end - 1);
}

/** Content-Range, RFC 9110 §14.4; undefined when it is not what was asked for. */
function openedRange(answer: StreamedAnswer, wantedStart: number): ViewedFile | undefined {
  const { etag, "last-modified": modified, "content-range": range, "content-encoding": encoding } = answer.headers;
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(String(range)) ?? [];
  if (Number(start) !== wantedStart || encoding !== undefined) return undefined;
  return { ...opened(answer), whole: { sizeBytes: Number(total), version: [total, etag, modified].join(" ") } };
}

function opened({ headers, body }: StreamedAnswer): ViewedFile {
  const contentType = headers["content-type"];
  const length = Number(headers["content-length"]);
  return {
    body,
    contentType: typeof contentType === "string" ? contentType : "application/octet-stream",
    // A compressed body's length is not the file's.
    ...(Number.isSafeInteger(length) && headers["content-length"] && !headers["content-encoding"]
      ? { sizeBytes: length }
      : {}),
  };
}
