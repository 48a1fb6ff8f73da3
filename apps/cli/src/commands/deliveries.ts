import { Delivery, DeliveryDetail, DeliveryPage, RedeliverReport } from "@comfyq/contract";
import { nowMs } from "@comfyq/runtime";
import { type ApiClient, createApiClient } from "../api/apiClient.ts";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { ownName, readCliEnv } from "../config.ts";
import { table } from "../table.ts";
import { age } from "./jobs.ts";

/** The options of `comfyq deliveries list`, as commander gives them. */
export interface DeliveriesOptions {
  readonly status?: string;
  readonly endpoint?: string;
  readonly job?: string;
  readonly type?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit?: number;
  readonly cursor?: string;
  readonly json?: boolean;
}

/** `comfyq deliveries`: one page of deliveries, newest first. */
export async function listDeliveries({ json, ...filters }: DeliveriesOptions): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const given = Object.entries(filters).map(([name, value]): [string, string] => [name, String(value)]);
  const page = await client.ask({ path: `/v1/deliveries?${new URLSearchParams(given).toString()}` }, DeliveryPage);
  process.stdout.write(json ? `${JSON.stringify(page, null, 2)}\n` : shown(page));
  return EXIT.succeeded;
}

function shown({ deliveries, next_cursor }: DeliveryPage): string {
  if (deliveries.length === 0) return "No deliveries.\n";
  const rows = deliveries.map((one) => [one.id, one.status, one.type, lastOf(one), age(one, nowMs()), one.url]);
  const more = next_cursor === null ? "" : `older ones:  --cursor ${next_cursor}\n`;
  return `${table(["DELIVERY", "STATUS", "EVENT", "LAST TRY", "AGE", "URL"], rows)}\n${more}`;
}

function lastOf({ tries_made, last_try }: Delivery): string {
  if (!last_try) return "";
  return `${tries_made}: ${last_try.status ?? last_try.code ?? "?"}`;
}

/** `comfyq deliveries show`: every try, and the body. */
export async function showDelivery(id: string, { json }: { readonly json?: boolean }): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const one = await client.ask({ path: `/v1/deliveries/${encodeURIComponent(id)}` }, DeliveryDetail);
  process.stdout.write(json ? `${JSON.stringify(one, null, 2)}\n` : described(one));
  return EXIT.succeeded;
}

function described(one: DeliveryDetail): string {
  const rows = one.tries.map(({ number, at, status, code, latency_ms, answer, message }) => [
    String(number),
    at,
    String(status ?? "-"),
    code ?? "not known",
    latency_ms === null ? "" : `${latency_ms} ms`,
    message ?? answer ?? "",
  ]);
  const next = one.next_try_at === null ? "" : `, next try ${one.next_try_at}`;
  const why = one.reason === null ? "" : `\n  ${one.reason}`;
  const head = `Delivery ${one.id} of ${one.type} to ${one.url}: ${one.status}${next}${why}`;
  const tries = rows.length === 0 ? "" : `${table(["TRY", "AT", "STATUS", "OUTCOME", "TOOK", ""], rows)}\n`;
  return `${head}\n${tries}${one.body}\n`;
}

/** The options of `comfyq deliveries redeliver`, as commander gives them. */
export interface RedeliverOptions {
  readonly since?: string;
  readonly until?: string;
  readonly endpoint?: string;
  readonly type?: string;
  readonly dryRun?: boolean;
}

/** `comfyq deliveries redeliver`: sends those that are named again, or all that failed since a moment. */
export async function redeliver(ids: readonly string[], options: RedeliverOptions): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  if (ids.length > 0) return redeliverNamed(client, ids);
  if (options.since === undefined)
    throw new CliError(
      "bad_input",
      "Which deliveries? Name them, or say --since 2027-01-31T09:00:00Z for all that failed",
    );
  const sent: string[] = [];
  let cursor: string | undefined;
  do {
    const { dryRun, since, until, endpoint, type } = options;
    const json = { since, until, endpoint, type, dry_run: dryRun, cursor };
    const report = await client.ask({ method: "POST", path: "/v1/deliveries/redeliver", json }, RedeliverReport);
    sent.push(...report.deliveries);
    cursor = report.next_cursor ?? undefined;
  } while (cursor !== undefined);
  const words = options.dryRun ? "would be sent again" : sent.length === 1 ? "is sent again" : "are sent again";
  process.stdout.write(`${sent.length} ${words}\n${sent.map((id) => `  ${id}\n`).join("")}`);
  return EXIT.succeeded;
}

/** Each is told of; one that cannot be sent again does not spare the others. */
async function redeliverNamed(client: ApiClient, ids: readonly string[]): Promise<ExitCode> {
  let worst: ExitCode = EXIT.succeeded;
  for (const id of ids) {
    try {
      const path = `/v1/deliveries/${encodeURIComponent(id)}/redeliver`;
      const one = await client.ask({ method: "POST", path }, Delivery);
      process.stdout.write(`Delivery ${id} ${one.status}\n  see it:  ${ownName()} deliveries show ${id}\n`);
    } catch (error) {
      if (!(error instanceof CliError) || error.code === "unreachable") throw error;
      process.stderr.write(`Delivery ${id}: ${error.message}\n`);
      worst = error.exitCode;
    }
  }
  return worst;
}
