import { createHmac, randomBytes } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { contentTypeOf } from "../server/contentTypes.ts";

/**
 * The store that Comfy Cloud redirects to: another origin, which gives a file to whoever has a link to it, and which must never be
 * sent the key (reference/comfyui-protocol.md §6.1). Who sends one is refused.
 */
export class SignedFiles {
  readonly #secret = randomBytes(16);
  readonly #paths = new Map<string, string>();
  #server: Server | undefined;
  #origin = "";

  async listen(host: string): Promise<void> {
    if (this.#server) return;
    const server = createServer((request, response) => void this.#serve(request, response));
    await new Promise<void>((resolve) => {
      server.listen(0, host, resolve);
    });
    const { port } = server.address() as AddressInfo; // a TCP server's address is always of this kind
    this.#origin = `http://${host}:${port}`;
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    server.closeAllConnections();
    await closed;
  }

  /** A link to a file of this machine, under a name of the cloud's. */
  linkTo(name: string, path: string): string {
    this.#paths.set(name, path);
    return `${this.#origin}/bucket/${encodeURIComponent(name)}?X-Goog-Signature=${this.#sign(name)}`;
  }

  #sign(name: string): string {
    return createHmac("sha256", this.#secret).update(name).digest("hex");
  }

  async #serve({ url = "/", method, headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(url, this.#origin);
    const name = decodeURIComponent(pathname.replace("/bucket/", ""));
    const path = this.#paths.get(name);
    if (headers["x-api-key"] !== undefined || headers.authorization !== undefined) {
      response.writeHead(400).end("A signed link takes no other credentials.");
    } else if (path === undefined || searchParams.get("X-Goog-Signature") !== this.#sign(name)) {
      response.writeHead(403).end("SignatureDoesNotMatch");
    } else {
      response.writeHead(200, { "Content-Type": contentTypeOf(name), "Content-Length": statSync(path).size });
      if (method === "HEAD") response.end();
      else await pipeline(createReadStream(path), response).catch(() => response.destroy()); // the client has gone
    }
  }
}
