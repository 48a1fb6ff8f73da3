import { createHash } from "node:crypto";
import { extname } from "node:path";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import { Asset, assetIdOf, assetKeys, type InputSource, type JobSecrets, parseDataUri } from "@comfyq/contract";
import { SafeFetchError, type SafeFetchResponse, stripUrl } from "@comfyq/runtime";
import { StorageError } from "@comfyq/storage";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { explained, inputError, storeError } from "./inputError.ts";
import { openBucketObject } from "./openBucketObject.ts";

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

export type OpenTools = Pick<Tools, "config" | "store" | "fetchInput" | "credentials">;

/**
 * Opens a data URI, an asset of the job's tenant, an object in a bucket, or a URL (guarded: no private networks). A credential
 * that it names is looked up here and goes nowhere but to its source.
 * @throws JobError `input_unavailable` | `input_unreachable` | `input_too_large`
 */
export async function openSource(wish: SourceWish, limits: Limits, tools: OpenTools): Promise<Source> {
  if (wish.source.url.startsWith("data:")) return openDataUri(wish);
  if (assetIdOf(wish.source) !== undefined) return openAsset(wish, limits, tools);
  if (wish.source.url.startsWith("s3:")) return openObject(wish, limits, tools);
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

async function openAsset(wish: SourceWish, { tenant, signal }: Limits, { store }: OpenTools): Promise<Source> {
  const keys = assetKeys(tenant, assetIdOf(wish.source) ?? "");
  const explain = (error: unknown): unknown =>
    error instanceof StorageError ? storeError({ label: wish.label, shown: wish.source.url }, error) : error;
  const read = async (key: string) => explained((await store.get(key, { signal })).body, explain);
  try {
    const asset = Asset.parse(await json(await read(keys.description)));
    const sha256 = /^sha256:([0-9a-f]{64})$/.exec(asset.hash)?.[1];
    return {
      open: () => read(keys.content).catch((error: unknown) => Promise.reject(explain(error))),
      ...(sha256 === undefined ? {} : { known: { sha256, sizeBytes: asset.size_bytes } }),
      contentType: asset.content_type,
      extension: safeExtension(asset.name) ?? extensionFor(asset.content_type),
    };
  } catch (error) {
    throw explain(error);
  }
}

async function openObject(wish: SourceWish, limits: Limits, tools: OpenTools): Promise<Source> {
  const { body, contentType, key } = await openBucketObject({ ...wish, ...limits }, tools);
  return { open: async () => body, contentType, extension: safeExtension(key) ?? extensionFor(contentType) };
}

async function openUrl(wish: SourceWish, limits: Limits, tools: OpenTools): Promise<Source> {
  const { source, label } = wish;
  const explain = (error: unknown): unknown => (error instanceof SafeFetchError ? inputError(label, error) : error);
  try {
    const headers = tools.credentials.headersFor({ ...wish, ...limits });
    const answer = await tools.fetchInput(source.url, { signal: limits.signal, headers });
    const refusal = refuseAnswer(answer, source);
    if (refusal) {
      answer.body.destroy();
      throw new JobError(refusal.code, `Input ${label}: ${stripUrl(source.url)} ${refusal.why}`);
    }
    const contentType = typeOf(answer);
    return {
      open: async () => explained(answer.body, explain),
      contentType,
      extension: safeExtension(new URL(answer.url).pathname) ?? extensionFor(contentType),
    };
  } catch (error) {
    throw explain(error);
  }
}

interface AnswerRefusal {
  readonly code: "input_unreachable" | "input_unavailable";
  readonly why: string;
}

function refuseAnswer({ status, headers }: SafeFetchResponse, { credential }: InputSource): AnswerRefusal | undefined {
  const encoding = headers["content-encoding"]?.trim().toLowerCase() ?? "identity";
  // Asked for as it is: what is compressed all the same could be small on the way and huge when it is unpacked.
  if (status === 200 && encoding !== "identity" && encoding !== "")
    return {
      code: "input_unavailable",
      why: "sends its bytes compressed though asked not to; serve the file as it is",
    };
  if (status === 200) return undefined;
  const hint =
    credential === undefined
      ? "the address must give the file to anybody who asks, or name a credential"
      : `check the credential ${credential}, and the address`;
  const mayPass = status >= 500 || status === 429;
  return { code: mayPass ? "input_unreachable" : "input_unavailable", why: `answered ${status}; ${hint}` };
}

function typeOf({ headers }: SafeFetchResponse): string {
  return headers["content-type"]?.split(";")[0]?.trim() || "application/octet-stream";
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
