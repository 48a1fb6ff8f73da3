import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { Health } from "./health.ts";
import type { Metrics } from "./metrics.ts";

/** What the health server shows and where. */
export interface HealthServerOptions {
  /** Address to listen on; `127.0.0.1` unless a probe comes from outside. */
  readonly host: string;
  /** 0: any free one, see `url`. */
  readonly port: number;
  readonly health: Health;
  readonly metrics: Metrics;
}

/** A listening health server. */
export interface HealthServer {
  /** Without a slash at the end. */
  readonly url: string;
  /** Ends all its connections; safe to repeat. */
  close(): Promise<void>;
}

/**
 * Serves `/livez`, `/readyz` (200 or 503, JSON) and `/metrics` for a process that has no HTTP API of its own.
 * @throws Error with the system's `code` as its cause's when the port cannot be had
 */
export async function startHealthServer({ host, port, health, metrics }: HealthServerOptions): Promise<HealthServer> {
  const server = createServer({ requestTimeout: 10_000 }, answer(health, metrics));
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new Error(`Cannot listen on ${host}:${port} for health checks; is another process using it?`, { cause });
  }
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a host and a port");
  const shown = address.family === "IPv6" ? `[${address.address}]` : address.address;
  let closed: Promise<unknown> | undefined;
  return {
    url: `http://${shown}:${address.port}`,
    async close() {
      closed ??= new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function answer(health: Health, metrics: Metrics): RequestListener {
  const ready = async (): Promise<Page> => {
    const readiness = await health.ready();
    return [readiness.ok ? 200 : 503, "application/json", JSON.stringify(readiness)];
  };
  const routes = new Map<string, () => Promise<Page>>([
    ["/livez", async () => [200, "application/json", JSON.stringify(health.live())]],
    ["/readyz", ready],
    ["/metrics", async () => [200, metrics.contentType, await metrics.text()]],
  ]);
  const serve: (...exchange: Parameters<RequestListener>) => Promise<void> = async (request, response) => {
    const route = routes.get(request.url ?? "");
    const known = route && (request.method === "GET" || request.method === "HEAD");
    const [status, type, body] = await (known ? route() : noRoute()).catch(failed);
    response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
  };
  return (request, response) => void serve(request, response);
}

type Page = readonly [status: number, type: string, body: string];

const noRoute = async (): Promise<Page> => [404, "text/plain", "Only GET /livez, /readyz and /metrics are here.\n"];
const failed = (): Page => [500, "text/plain", "This could not be measured.\n"];
