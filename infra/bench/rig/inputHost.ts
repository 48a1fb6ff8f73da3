import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { noisyPng } from "../../../packages/comfyui-simulator/src/pictures/noisyPng.ts";
import { TokenBucket } from "../../../packages/fake-s3/src/tokenBucket.ts";

/** A host of input files behind one line. */
export interface InputHost extends AsyncDisposable {
  /** Address of a PNG of so many bytes; another one for each number. */
  file(number: number, sizeBytes: number): string;
}

/** @param bytesPerSecond speed of the line that all downloads share; undefined: no limit */
export async function startInputHost(bytesPerSecond: number | undefined): Promise<InputHost> {
  const line = new TokenBucket();
  line.setRate(bytesPerSecond);
  const server = createServer((request, response) => void serve(line, request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return {
    file: (number, sizeBytes) => `http://127.0.0.1:${port}/${number}/${sizeBytes}.png`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function serve(line: TokenBucket, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, number = "0", size = "0"] = /^\/(\d+)\/(\d+)\.png$/.exec(request.url ?? "") ?? [];
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  response.writeHead(200, { "content-type": "image/png", "content-length": size });
  for (const piece of noisyPng(Number(size), Number(number))) {
    await line.take(piece.length, gone.signal).catch(() => {}); // its reader has gone
    if (gone.signal.aborted) return;
    if (!response.write(Uint8Array.from(piece))) await once(response, "drain", { signal: gone.signal }).catch(() => {});
  }
  response.end();
}
