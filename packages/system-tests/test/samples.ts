import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** A sample of somebody's documentation, to the letter but for the hosts in it: `{"https://cloud.comfy.org": "http://…"}`. */
export async function readSample(name: string, hosts: Readonly<Record<string, string>>): Promise<string> {
  const source = await readFile(new URL(`../samples/${name}`, import.meta.url), "utf8");
  return Object.entries(hosts).reduce((text, [host, ours]) => text.replaceAll(host, ours), source);
}

/** A store as samples use one: what is in it can be read by the last part of its path, and what is put there is kept. */
export async function startStore(files: Readonly<Record<string, string | Buffer>>) {
  const kept = new Map<string, Buffer>();
  const server = createServer(async (request, response) => {
    const name =
      decodeURIComponent(request.url ?? "")
        .split("/")
        .at(-1) ?? "";
    if (request.method === "PUT") {
      kept.set(name, await buffer(request));
      response.end();
    } else response.writeHead(name in files ? 200 : 404).end(files[name]);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // TCP
  return { url: `http://127.0.0.1:${port}`, kept, close: () => server.close() };
}
