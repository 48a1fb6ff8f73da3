import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import type { Client } from "./client.ts";
import { createDeadline, type Deadline } from "./clock.ts";
import { ComfyError } from "./errors.ts";
import type { Upload, Uploaded } from "./files.ts";
import { errorOfStatus } from "./http.ts";
import { checkFolder, checkName } from "./safePath.ts";
import { PATHS, parseJson, UploadAnswer } from "./wire/index.ts";

/** Longest wait for the whole upload to be taken. Slow links and videos. */
const UPLOAD_TIMEOUT_MS = 15 * 60_000;
const PIECE_BYTES = 64 * 1024;

/**
 * Streams one file into ComfyUI's folder, through `POST /upload/image`, which takes any kind of file (§1.5).
 * A server that takes nothing for `idleMs` is busy; what the source takes to come is the source's business.
 * @throws the body's own error when reading it fails; ComfyError `unsafe_path` | `payload_too_large` | `rejected` | `unreachable` | `busy` | `protocol`
 */
export async function uploadFile(upload: Upload, client: Client): Promise<Uploaded> {
  const { http, address, limits } = client;
  const { idleMs } = limits;
  const { name, body } = upload;
  // Comfy Cloud stores by content and knows no folders; it only repeats what it is told (§6.1).
  const subfolder = address.dialect === "cloud" ? "" : (upload.subfolder ?? "");
  const idle = createDeadline(
    idleMs,
    () => new ComfyError("busy", `ComfyUI has taken nothing of the upload of ${name} for ${idleMs} ms.`),
  );
  try {
    checkName(name);
    checkFolder(subfolder);
    const form = encodeForm(upload, subfolder, idle);
    const signal = AbortSignal.any([idle.signal, ...(upload.signal ? [upload.signal] : [])]);
    const call = { method: "POST", path: PATHS.uploadImage, signal, timeoutMs: UPLOAD_TIMEOUT_MS } as const;
    const answer = await http.send({ ...call, body: form.body, headers: form.headers });
    if (answer.status === 400) {
      throw new ComfyError("rejected", `ComfyUI refused the upload of ${name}: ${answer.text.slice(0, 200)}`, {
        facts: { httpStatus: 400 },
      });
    }
    if (answer.status !== 200) throw errorOfStatus(answer, `The upload of ${name}`);
    return readAnswer(answer.text, name);
  } catch (error) {
    // When the source breaks, the request breaks with it; the source's own error says more.
    if (body instanceof Readable && body.errored) throw body.errored;
    throw error;
  } finally {
    idle.stop();
    if (body instanceof Readable && !body.readableEnded) body.on("error", () => {}).destroy();
  }
}

function readAnswer(text: string, name: string): Uploaded {
  try {
    const answer = UploadAnswer.parse(parseJson(text));
    return { name: answer.name, subfolder: answer.subfolder, type: answer.type };
  } catch (cause) {
    throw new ComfyError("protocol", `The upload of ${name} was answered with something else than ComfyUI does.`, {
      cause,
    });
  }
}

interface Form {
  readonly body: Readable;
  readonly headers: Readonly<Record<string, string>>;
}

function encodeForm(upload: Upload, subfolder: string, idle: Deadline): Form {
  const boundary = `comfyq-${randomUUID()}`;
  const fields = {
    type: upload.type ?? "input",
    subfolder,
    overwrite: upload.overwrite === "replace" ? "true" : "false",
  };
  const head = Object.entries(fields).map(([key, value]) => `${part(boundary, `name="${key}"`)}\r\n${value}\r\n`);
  const file = part(boundary, `name="image"; filename="${quote(upload.name)}"`);
  const opening = Buffer.from(
    `${head.join("")}${file}content-type: ${upload.contentType ?? "application/octet-stream"}\r\n\r\n`,
  );
  const closing = Buffer.from(`\r\n--${boundary}--\r\n`);
  const source = upload.body instanceof Readable ? upload.body : piecesOf(upload.body);
  return {
    body: Readable.from(concatenate(opening, source, closing, idle), { objectMode: false }),
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
  };
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}

function part(boundary: string, disposition: string): string {
  return `--${boundary}\r\ncontent-disposition: form-data; ${disposition}\r\n`;
}

/** As browsers write file names (WHATWG HTML, multipart/form-data). */
function quote(name: string): string {
  return name.replaceAll('"', "%22").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

type Source = AsyncIterable<string | Uint8Array> | Iterable<Uint8Array>;

/** The deadline runs while the server is to take something, and not while the source is to bring something. */
async function* concatenate(opening: Buffer, source: Source, closing: Buffer, idle: Deadline) {
  yield opening;
  idle.stop();
  for await (const chunk of source) {
    idle.restart();
    yield typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    idle.stop();
  }
  idle.restart();
  yield closing;
}
