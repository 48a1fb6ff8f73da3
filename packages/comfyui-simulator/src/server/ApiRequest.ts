import type { IncomingMessage } from "node:http";
import { parseJson } from "@comfyq/comfyui/wire";

/** A body is larger than the server takes. */
export class BodyTooLarge extends Error {
  readonly limitBytes: number;
  readonly actualBytes: number;

  constructor(limitBytes: number, actualBytes: number) {
    super(`Maximum request body size ${limitBytes} exceeded, actual body size ${actualBytes}`);
    this.name = "BodyTooLarge";
    this.limitBytes = limitBytes;
    this.actualBytes = actualBytes;
  }
}

/** One request as handlers see it. */
export class ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly raw: IncomingMessage;
  /** Parts of the path that the route's pattern names. */
  params: Readonly<Record<string, string>> = {};
  /** What to do when the answer has gone out. */
  afterAnswer: () => void = () => {};
  readonly #limitBytes: number;

  constructor(raw: IncomingMessage, limitBytes: number) {
    const target = `http://simulator${raw.url ?? "/"}`;
    const url = new URL(URL.canParse(target) ? target : "http://simulator/");
    this.method = raw.method ?? "GET";
    this.path = url.pathname;
    this.query = url.searchParams;
    this.headers = raw.headers;
    this.raw = raw;
    this.#limitBytes = limitBytes;
  }

  /** The path without the `/api` under which most routes exist a second time. */
  get barePath(): string {
    return this.path.startsWith("/api/") ? this.path.slice(4) : this.path;
  }

  /** @throws BodyTooLarge */
  async body(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.pieces()) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  /** The body as it comes. @throws BodyTooLarge */
  async *pieces(): AsyncGenerator<Buffer> {
    let size = 0;
    for await (const piece of this.raw) {
      if (!Buffer.isBuffer(piece)) continue;
      size += piece.length;
      if (size > this.#limitBytes) throw new BodyTooLarge(this.#limitBytes, size);
      yield piece;
    }
  }

  /** The body as JSON, whatever its content type says. @throws SyntaxError | BodyTooLarge */
  async json(): Promise<unknown> {
    return parseJson((await this.body()).toString("utf8"));
  }
}
