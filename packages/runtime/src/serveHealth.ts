import { createHealth, type ReadinessCheck } from "./health.ts";
import { type HealthServer, startHealthServer } from "./healthServer.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import type { Service } from "./service.ts";

export interface ServeHealthOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Readiness checks by name. */
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  /** Registers what the service measures of itself. */
  readonly measure?: (metrics: Metrics) => void;
}

/** Gives a service that has no HTTP API its `/livez`, `/readyz` and `/metrics`, for as long as it runs. */
export async function serveHealth(service: Service, options: ServeHealthOptions): Promise<HealthServer> {
  const { host, port, checks, measure } = options;
  const metrics = createMetrics({ defaults: true });
  measure?.(metrics);
  const health = createHealth();
  for (const [name, check] of Object.entries(checks)) health.add(name, check);
  const server = await startHealthServer({ host, port, health, metrics });
  service.onStop("close the health server", () => server.close());
  return server;
}

/** Tells a launcher, as one JSON line on stdout, that this process can be used; silent when nobody asked. */
export function printReady(wanted: boolean, ready: Readonly<Record<string, unknown>>): void {
  if (wanted) process.stdout.write(`${JSON.stringify(ready)}\n`);
}
