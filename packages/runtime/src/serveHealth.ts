import { createHealth, type ReadinessCheck } from "./health.ts";
import { type HealthServer, startHealthServer } from "./healthServer.ts";
import { createMetrics } from "./metrics.ts";
import type { Service } from "./service.ts";

export interface ServeHealthOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Readiness checks by name. */
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
}

/** Gives a service that has no HTTP API its `/livez`, `/readyz` and `/metrics`, for as long as it runs. */
export async function serveHealth(service: Service, { host, port, checks }: ServeHealthOptions): Promise<HealthServer> {
  const health = createHealth();
  for (const [name, check] of Object.entries(checks)) health.add(name, check);
  const server = await startHealthServer({ host, port, health, metrics: createMetrics({ defaults: true }) });
  service.onStop("close the health server", () => server.close());
  return server;
}

/** Tells a launcher, as one JSON line on stdout, that this process can be used; silent when nobody asked. */
export function printReady(wanted: boolean, ready: Readonly<Record<string, unknown>>): void {
  if (wanted) process.stdout.write(`${JSON.stringify(ready)}\n`);
}
