import { createHash } from "node:crypto";
import { extname } from "node:path";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import { Asset, assetIdOf, assetKeys, type InputSource, type JobSecrets, parseDataUri } from "@comfyq/contract";
import { SafeFetchError, stripUrl } from "@comfyq/runtime";
import { StorageError } from "@comfyq/storage";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";

/** What bytes are, known without reading them. */
export interface Known {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Where an input's bytes come from; call `open`, or nothing is read. */
export interface Source {
  /** Once. */
  open(): Promise<Readable>;
  readonly known?: Known;
  /** With its dot; what ComfyUI's loaders go by. `.bin` when nothing tells. */
  readonly extension: string;
  readonly contentType: string;
}

interface SourceWish {
  readonly source: InputSource;
  readonly label: string;
}

interface Limits {
  readonly tenant: string;
  readonly signal: AbortSignal;
  /** Of the job: what its sources may name as credentials. */
  readonly secrets: () => JobSecrets;
}

type OpenTools = Pick<Tools, "store" | "fetchInput">;

/**
 * Opens a data URI, an asset of the job's tenant, or a URL (guarded: no private networks).
 * @throws JobError `input_unavailable` | `input_unreachable` | `input_too_large`
 */
export async function openSource(wish: SourceWish, limits: Limits, tools: OpenTools): Promise<Source> {
  if (wish.source.url.startsWith("data:")) return openDataUri(wish);
  if (assetIdOf(wish.source) !== undefined) return openAsset(wish, limits, tools);
  return openUrl(wish, limits, tools);
}

function openDataUri({ source, label }: SourceWish): Source {
  const data = parseDataUri(source.url);
  if (!data) throw new JobError("input_unavailable", `Input ${label} is no data URI; write data:<type>;base64,<bytes>`);
  const { contentType, bytes } = data;
  return {
    open: async () => Readable.from([bytes]),
    known: { sha256: createHash("sha256").update(bytes).digest("hex"), sizeBytes: bytes.length },
    contentType,
    extension: extensionFor(contentType),
  };
}

async function openAsset(wish: SourceWish, { tenant, signal }: Limits, tools: OpenTools): Promise<Source> {
  const keys = assetKeys(tenant, assetIdOf(wish.source) ?? "");
  const read = (key: string) => readAsset(wish, () => tools.store.get(key, { signal }));
  const description = await read(keys.description);
  const asset = Asset.parse(await readAsset(wish, () => json(description.body)));
  const sha256 = /^sha256:([0-9a-f]{64})$/.exec(asset.hash)?.[1];
  return {
    open: async () => (await read(keys.content)).body,
    ...(sha256 === undefined ? {} : { known: { sha256, sizeBytes: asset.size_bytes } }),
    contentType: asset.content_type,
    extension: safeExtension(asset.name) ?? extensionFor(asset.content_type),
  };
}

async function readAsset<T>({ source, label }: SourceWish, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (!(cause instanceof StorageError)) throw cause;
    const code = cause.retryable ? "input_unreachable" : "input_unavailable";
    throw new JobError(code, `Input ${label}: ${source.url} could not be read (${cause.code}); upload it again`, {
      cause,
    });
  }
}

async function openUrl({ source, label }: SourceWish, { signal }: Limits, tools: OpenTools): Promise<Source> {
  try {
    const answer = await tools.fetchInput(source.url, { signal });
    if (answer.status !== 200) {
      answer.body.destroy();
      throw new JobError(
        answer.status >= 500 || answer.status === 429 ? "input_unreachable" : "input_unavailable",
        `Input ${label}: ${stripUrl(source.url)} answered ${answer.status}; the address must give the file to anybody who asks`,
      );
    }
    const contentType =
      String(answer.headers["content-type"] ?? "")
        .split(";")[0]
        ?.trim() || "application/octet-stream";
    return {
      open: async () => answer.body,
      contentType,
      extension: safeExtension(new URL(answer.url).pathname) ?? extensionFor(contentType),
    };
  } catch (cause) {
    if (cause instanceof SafeFetchError) throw inputError(label, cause);
    throw cause;
  }
}

/** Says whether trying the same address again can help. */
export function inputError(label: string, cause: SafeFetchError): JobError {
  const message = `Input ${label} could not be fetched: ${cause.message}`;
  if (cause.code === "too_large") return new JobError("input_too_large", message, { cause });
  const mayPass = ["timed_out", "idle", "unreachable", "length_mismatch"].includes(cause.code);
  return new JobError(mayPass ? "input_unreachable" : "input_unavailable", message, { cause });
}

function safeExtension(name: string): string | undefined {
  const extension = extname(name).toLowerCase();
  return /^\.[a-z0-9]{1,12}$/.test(extension) ? extension : undefined;
}

const EXTENSIONS: Readonly<Record<string, string>> = {
  "image/png": ".png",
  "image/jpeg": ".jpg",
  "image/webp": ".webp",
  "image/gif": ".gif",
  "image/bmp": ".bmp",
  "image/tiff": ".tiff",
  "video/mp4": ".mp4",
  "video/webm": ".webm",
  "video/quicktime": ".mov",
  "audio/mpeg": ".mp3",
  "audio/wav": ".wav",
  "audio/x-wav": ".wav",
  "audio/flac": ".flac",
  "audio/ogg": ".ogg",
  "model/gltf-binary": ".glb",
  "text/plain": ".txt",
  "application/json": ".json",
};

function extensionFor(contentType: string): string {
  return EXTENSIONS[contentType.toLowerCase()] ?? ".bin";
}
