import { RotatedSecret, WebhookEndpoint, WebhookEndpointList, WebhookEndpointMade } from "@comfyq/contract";
import { createApiClient } from "../api/apiClient.ts";
import { EXIT, type ExitCode } from "../CliError.ts";
import { ownName, readCliEnv } from "../config.ts";
import { table } from "../table.ts";

/** `comfyq webhooks list`: the endpoints of the tenant. */
export async function listWebhooks({ json }: { readonly json?: boolean }): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const list = await client.ask({ path: "/v1/webhooks" }, WebhookEndpointList);
  process.stdout.write(json ? `${JSON.stringify(list, null, 2)}\n` : shown(list.endpoints));
  return EXIT.succeeded;
}

function shown(endpoints: readonly WebhookEndpoint[]): string {
  if (endpoints.length === 0) return "No endpoints.\n";
  const rows = endpoints.map(({ id, status, url, events, disabled_reason }) => [
    id,
    status,
    url,
    disabled_reason ?? events.join(" "),
  ]);
  return `${table(["ENDPOINT", "STATUS", "URL", "EVENTS, OR WHY DISABLED"], rows)}\n`;
}

/** `comfyq webhooks show`: one endpoint, and why it is disabled if it is. */
export async function showWebhook(id: string, { json }: { readonly json?: boolean }): Promise<ExitCode> {
  const endpoint = await createApiClient(readCliEnv()).ask({ path: pathOf(id) }, WebhookEndpoint);
  process.stdout.write(json ? `${JSON.stringify(endpoint, null, 2)}\n` : `${described(endpoint).join("\n")}\n`);
  return EXIT.succeeded;
}

function described(endpoint: WebhookEndpoint): readonly string[] {
  const { id, status, url, events, description, header_names, disabled_at, disabled_reason } = endpoint;
  return [
    `Endpoint ${id} is ${status}${description === "" ? "" : `: ${description}`}`,
    `  url:      ${url}`,
    `  events:   ${events.join(", ")}`,
    ...(header_names.length === 0 ? [] : [`  headers:  ${header_names.join(", ")}   (values are not shown)`]),
    ...(endpoint.old_secret_until === null ? [] : [`  an old secret signs, too, until ${endpoint.old_secret_until}`]),
    ...(disabled_reason === null
      ? []
      : [`  disabled: ${disabled_at}`, `  why:      ${disabled_reason}`, enableHint(id)]),
  ];
}

function enableHint(id: string): string {
  return `  enable:   ${ownName()} webhooks enable ${id}`;
}

/** `comfyq webhooks enable`: sends to a disabled endpoint again. */
export async function enableWebhook(id: string): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const { url } = await client.ask({ method: "POST", path: `${pathOf(id)}/enable` }, WebhookEndpoint);
  const missed = `${ownName()} deliveries redeliver --endpoint ${id} --since <moment>`;
  process.stdout.write(`Endpoint ${id} is enabled: ${url}\n  send what it missed:  ${missed}\n`);
  return EXIT.succeeded;
}

/** The options of `comfyq webhooks create`, as commander gives them. */
export interface CreateWebhookOptions {
  readonly events?: string;
  readonly description?: string;
}

/** `comfyq webhooks create`: makes an endpoint and shows its secret, once. */
export async function createWebhook(url: string, { events, description }: CreateWebhookOptions): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const json = { url, events: events?.split(","), description };
  const made = await client.ask({ method: "POST", path: "/v1/webhooks", json }, WebhookEndpointMade);
  const words = `Endpoint ${made.id} hears of ${made.events.join(", ")}\n  secret:  ${made.secret}   (shown this once)`;
  process.stdout.write(`${words}\n  try it:  ${ownName()} webhooks test ${made.id}\n`);
  return EXIT.succeeded;
}

/** `comfyq webhooks delete`: nothing more is sent there. */
export async function deleteWebhook(id: string): Promise<ExitCode> {
  await createApiClient(readCliEnv()).send({ method: "DELETE", path: pathOf(id) });
  process.stdout.write(`Endpoint ${id} is deleted\n`);
  return EXIT.succeeded;
}

/** The options of `comfyq webhooks rotate`, as commander gives them. */
export interface RotateOptions {
  readonly overlap?: number;
}

/** `comfyq webhooks rotate`: a new secret; the old one signs beside it for a while. */
export async function rotateWebhook(id: string, { overlap }: RotateOptions): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const path = `${pathOf(id)}/rotate`;
  const rotated = await client.ask({ method: "POST", path, json: { overlap_s: overlap } }, RotatedSecret);
  const old = rotated.old_secret_until === null ? "is void" : `signs, too, until ${rotated.old_secret_until}`;
  process.stdout.write(`New secret:  ${rotated.secret}   (shown this once)\nThe old one ${old}\n`);
  return EXIT.succeeded;
}

/** `comfyq webhooks test`: sends an event that tells of nothing. */
export async function testWebhook(id: string): Promise<ExitCode> {
  await createApiClient(readCliEnv()).send({ method: "POST", path: `${pathOf(id)}/test` });
  process.stdout.write(`A test event is on its way\n  see it:  ${ownName()} deliveries --endpoint ${id}\n`);
  return EXIT.succeeded;
}

function pathOf(id: string): string {
  return `/v1/webhooks/${encodeURIComponent(id)}`;
}
