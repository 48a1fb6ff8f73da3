import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { type BinaryFrame, FileEntry, isObject } from "@comfyq/comfyui/wire";
import type { FrameSink } from "../engine/EngineParts.ts";
import type { Folders } from "../files/Folders.ts";
import type { ApiRequest } from "../server/ApiRequest.ts";
import { json, notFound, type Reply } from "../server/Reply.ts";
import { SignedFiles } from "./SignedFiles.ts";

/** To be Comfy Cloud, for one account. */
export interface CloudOptions {
  /** What its caller has to send as `X-API-Key`. */
  readonly apiKey: string;
  /** Whether there is a websocket. Default true. */
  readonly sockets?: boolean;
}

/** The error of every call but `/prompt` (§6.1). */
export const cloudError = (status: number, code: string, message: string): Reply => json({ code, message }, status);

/** What makes a server Comfy Cloud: the key, files named by their content, and what was canceled before it ran. */
export class Cloud {
  readonly files = new SignedFiles();
  /** Ids that were canceled, as the status endpoint tells of them. */
  readonly canceled = new Set<string>();
  readonly #options: CloudOptions;
  readonly #folders: Folders;
  readonly #paths = new Map<string, string>();

  constructor(options: CloudOptions, folders: Folders) {
    this.#options = options;
    this.#folders = folders;
  }

  /** Why a request is not answered; undefined when it is. */
  refuse(request: ApiRequest): Reply | undefined {
    if (request.path.startsWith("/simulator/")) return undefined;
    if (!request.path.startsWith("/api/")) return notFound();
    if (request.barePath === "/features" || request.headers["x-api-key"] === this.#options.apiKey) return undefined;
    return cloudError(401, "UNAUTHORIZED", "Invalid or missing API key");
  }

  /** The status with which a websocket is refused; undefined when it is not. */
  refuseSocket({ query, headers }: ApiRequest): number | undefined {
    if (this.#options.sockets === false) return 404;
    return [query.get("token"), headers["x-api-key"]].includes(this.#options.apiKey) ? undefined : 401;
  }

  /** All sockets of an account get all of its frames, whatever their client id. */
  framesFor(sink: FrameSink): FrameSink {
    return {
      send: (type, data) => sink.send(type, this.named(data)),
      sendBinary: (frame: BinaryFrame) => sink.sendBinary(frame),
      hasListener: () => sink.hasListener(undefined),
      knowsPreviewMetadata: () => false,
    };
  }

  /** The same with every file under its content's name. */
  named(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.named(item));
    if (!isObject(value)) return value;
    const file = FileEntry.safeParse(value).data;
    if (file) return { ...value, filename: this.#nameOf(file) };
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.named(inner)]));
  }

  /** Where the file of such a name lies. */
  pathOf(name: string): string | undefined {
    return this.#paths.get(name);
  }

  keep(path: string): string {
    const name = contentName(readFileSync(path), path);
    this.#paths.set(name, path);
    return name;
  }

  #nameOf({ filename, subfolder = "", type }: FileEntry): string {
    const path = join(this.#folders.pathOf(type), subfolder, filename);
    return existsSync(path) ? this.keep(path) : filename;
  }
}

/** Its hash and its extension. */
export function contentName(content: Uint8Array, name: string): string {
  return `${createHash("sha256").update(content).digest("hex")}${extname(name)}`;
}
