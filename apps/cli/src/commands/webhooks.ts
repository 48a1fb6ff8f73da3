import { RotatedSecret, WebhookEndpoint, WebhookEndpointList, WebhookEndpointMade } from "@comfyq/contract";
import * as z from "zod";
import { createApiClient } from "../api/apiClient.ts";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { ownName, readCliEnv } from "../config.ts";
import { table } from "../table.ts";
import { parseHeader } from "../webhooks/parseHeader.ts";

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

/** What may be said of an endpoint, as commander gives it. */
export interface WebhookWish {
  readonly events?: string;
  readonly description?: string;
  readonly header?: readonly string[];
}

function bodyOf({ events, description, header }: WebhookWish): object {
  const headers = header && Object.fromEntries(header.map(parseHeader));
  return { events: events?.split(",").map((type) => type.trim()), description, headers };
}

/** `comfyq webhooks create`: makes an endpoint and shows its secret, once. */
export async function createWebhook(url: string, wish: WebhookWish): Promise<ExitCode> {
  const client = createApiClient(readCliEnv());
  const json = { url, ...bodyOf(wish) };
  const made = await client.ask({ method: "POST", path: "/v1/webhooks", json }, WebhookEndpointMade);
  const words = `Endpoint ${made.id} hears of ${made.events.join(", ")}\n  secret:  ${made.secret}   (shown this once)`;
  process.stdout.write(`${words}\n  try it:  ${ownName()} webhooks test ${made.id}\n`);
  return EXIT.succeeded;
}

/** `comfyq webhooks change`: what is not named stays as it is. */
export async function changeWebhook(id: string, { url, ...wish }: WebhookWish & { url?: string }): Promise<ExitCode> {
  if (url === undefined && Object.keys(wish).length === 0)
    throw new CliError("bad_input", "What is to be changed? Say --url, --events, --description or --header");
  const client = createApiClient(readCliEnv());
  const call = { method: "PUT", path: pathOf(id), json: { url, ...bodyOf(wish) } } as const;
  const endpoint = await client.ask(call, WebhookEndpoint);
  process.stdout.write(`${described(endpoint).join("\n")}\n`);
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
  process.stdout.write(`New secret:  ${rotated.secret}   (shown this once)\n${wordsOfOld(rotated)}\n`);
  return EXIT.succeeded;
}

/** The options of `comfyq webhooks secret`, as commander gives them. */
export interface SecretOptions extends RotateOptions {
  readonly rotate?: boolean;
}

/** `comfyq webhooks secret`: what the webhooks that are named with jobs are signed with; `--rotate` makes a new one. */
export async function webhookSecret({ rotate, overlap }: SecretOptions): Promise<ExitCode> {
  if (overlap !== undefined && !rotate)
    throw new CliError(
      "bad_input",
      "--overlap goes with --rotate: the secret that is there signs until it is replaced",
    );
  const client = createApiClient(readCliEnv());
  const path = "/v1/webhooks/secret";
  if (rotate) {
    const call = { method: "POST", path: `${path}/rotate`, json: { overlap_s: overlap } } as const;
    const rotated = await client.ask(call, RotatedSecret);
    process.stdout.write(`${rotated.secret}\n`);
    process.stderr.write(`${wordsOfOld(rotated)}\n`);
  } else process.stdout.write(`${(await client.ask({ path }, z.object({ secret: z.string() }))).secret}\n`);
  return EXIT.succeeded;
}

function wordsOfOld({ old_secret_until }: z.infer<typeof RotatedSecret>): string {
  return `The old one ${old_secret_until === null ? "is void" : `signs, too, until ${old_secret_until}`}`;
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
