import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { jobOf, WebhookEvent } from "@comfyq/contract";
import { tenantWebhookSecret } from "@comfyq/runtime";
import { Webhook } from "standardwebhooks";
import { freshPixel } from "../test/graphs.ts";
import type { HistoryFile } from "./historyFile.ts";

/** What is wrong with it. Each strikes the first delivery of an event only: the second comes minutes after the first. */
export type ReceiverTrouble = "refuses" | "hangs_up" | "slow" | undefined;

/** The customers' server: takes webhooks and notes each, and offers a picture as an input. */
export interface Receiver {
  /** Where a tenant's webhooks go. */
  hookOf(tenant: string): string;
  /** A PNG. */
  readonly pictureUrl: string;
  trouble(trouble: ReceiverTrouble): void;
  /** Has it accepted an event of this job's end? */
  wasTold(job: string): boolean;
  close(): Promise<void>;
}

const SLOW_MS = 1_500;

/** @param master what tenants' secrets are made from: COMFYQ_WEBHOOK_SECRET */
export async function startReceiver(history: HistoryFile, master: string): Promise<Receiver> {
  let trouble: ReceiverTrouble;
  const struck = new Set<string>();
  const told = new Set<string>();
  const takeHook = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const event = String(request.headers["webhook-id"]);
    const strike = struck.has(event) ? undefined : trouble;
    if (strike) struck.add(event);
    const status = strike === "hangs_up" ? 0 : strike === "refuses" ? 500 : 204;
    const parsed = WebhookEvent.parse(JSON.parse(body));
    const { type } = parsed;
    const job = jobOf(parsed)?.id;
    const bodySha = createHash("sha256").update(body).digest("hex");
    const tenant = String(request.url).split("/").at(-1) ?? "";
    const genuine = isGenuine(tenantWebhookSecret(master, tenant), body, request);
    if (job !== undefined) history.note("receiver", { op: "received", job, event, type, bodySha, genuine, status });
    if (status === 204 && job !== undefined && type !== "job.started") told.add(job);
    if (strike === "slow") await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    if (status === 0) request.socket.destroy();
    else response.writeHead(status).end();
  };
  const server = createServer((request, response) => {
    if (request.url?.startsWith("/hook/")) return void takeHook(request, response).catch(() => response.destroy());
    response.writeHead(200, { "content-type": "image/png" }).end(freshPixel());
  });
  const url = await listen(server);
  return {
    hookOf: (tenant) => `${url}/hook/${tenant}`,
    pictureUrl: `${url}/picture.png`,
    trouble: (next) => {
      trouble = next;
    },
    wasTold: (job) => told.has(job),
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  return `http://127.0.0.1:${port}`;
}

function isGenuine(secret: string, body: string, { headers }: IncomingMessage): boolean {
  try {
    new Webhook(secret).verify(body, Object.fromEntries(Object.entries(headers).map(([n, v]) => [n, String(v)])));
    return true;
  } catch {
    return false;
  }
}
