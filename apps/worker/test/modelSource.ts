import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** How one file is served; the default is the whole of it, at once, with ranges. */
interface Serving {
  readonly status?: number;
  /** The connection breaks there, and not before it is released when something is held. */
  readonly breaks?: true;
  /** Nothing more comes after so many bytes until `release`. */
  readonly holdAfterBytes?: number;
  readonly ranges?: "none";
  /** Without Content-Length. */
  readonly chunked?: true;
}

export interface ModelSource {
  readonly url: string;
  serve(path: string, bytes: Buffer, serving?: Serving): string;
  /** Requests so far, as `GET /a bytes=5-`. */
  readonly requests: readonly string[];
  /** Lets go of what is held. */
  release(): void;
}

/** A real server of files on loopback. */
export async function startModelSource(): Promise<ModelSource> {
  const files = new Map<string, { readonly bytes: Buffer; readonly serving: Serving }>();
  const requests: string[] = [];
  let held = Promise.withResolvers<void>();
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const path = new URL(request.url ?? "/", "http://x").pathname;
    requests.push(`${request.method} ${path}${request.headers.range ? ` ${request.headers.range}` : ""}`);
    const file = files.get(path);
    if (!file || file.serving.status) return response.writeHead(file?.serving.status ?? 404).end("no");
    const { bytes, serving } = file;
    const etag = `"${sha256(bytes).slice(0, 16)}"`;
    const start = serving.ranges === "none" || request.headers["if-range"] !== etag ? 0 : startOf(request);
    const body = bytes.subarray(start);
    response.writeHead(start > 0 ? 206 : 200, {
      etag,
      ...(serving.chunked ? {} : { "content-length": body.length }),
      ...(start > 0 ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    const pauseAt = serving.holdAfterBytes ?? Math.floor(body.length / 2);
    await new Promise((resolve) => response.write(body.subarray(0, pauseAt), resolve));
    if (serving.holdAfterBytes !== undefined) await held.promise;
    if (serving.breaks) return response.destroy();
    return response.end(body.subarray(pauseAt));
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    held.resolve();
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // a TCP server, listening
  return {
    url,
    requests,
    serve: (path, bytes, serving = {}) => {
      files.set(path, { bytes, serving });
      return `${url}${path}`;
    },
    release: () => {
      held.resolve();
      held = Promise.withResolvers();
    },
  };
}

function startOf({ headers }: IncomingMessage): number {
  return Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
}

export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A small true safetensors file of so many bytes of one tensor; `fill` makes another content. */
export function safetensors(dataBytes: number, fill = 1): Buffer {
  return withHeader(
    { weight: { dtype: "U8", shape: [dataBytes], data_offsets: [0, dataBytes] } },
    Buffer.alloc(dataBytes, fill),
  );
}

/** A safetensors file with any header. */
export function withHeader(header: unknown, data: Buffer): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}
