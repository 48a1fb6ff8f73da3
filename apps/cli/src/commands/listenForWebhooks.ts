import { DeliveryPage } from "@comfyq/contract";
import { nowMs, sleep, withDeadline } from "@comfyq/runtime";
import * as z from "zod";
import { type ApiClient, createApiClient } from "../api/apiClient.ts";
import { CliError, EXIT, type ExitCode } from "../CliError.ts";
import { readCliEnv } from "../config.ts";
import { listenForStop } from "../up/listenForStop.ts";
import { explainSignature } from "../webhooks/explainSignature.ts";
import { allowHostsAdvice, type ListeningEndpoint, openListeningEndpoint } from "../webhooks/listeningEndpoint.ts";
import { type Arrival, receiveWebhooks } from "../webhooks/receiveWebhooks.ts";

/** The options of `comfyq webhooks listen`, as commander gives them. */
export interface ListenOptions {
  readonly port: number;
  readonly host: string;
  readonly url?: string;
  readonly events?: string;
  readonly forwardTo?: string;
}

/** A test event that has not arrived by then has met a wall. */
const FIRST_WITHIN_MS = 10_000;
/** As long as a receiver may take. */
const FORWARD_MS = 14_000;
const TOLERANCE_S = 300;

/** `comfyq webhooks listen`: shows every event of the tenant on this machine, until Ctrl-C. */
export async function listenForWebhooks(options: ListenOptions): Promise<ExitCode> {
  const { signal } = listenForStop();
  const client = createApiClient(readCliEnv());
  const arrived = Promise.withResolvers<void>();
  let secret: string | undefined;
  const receiver = await receiveWebhooks({
    host: options.host,
    port: options.port,
    onArrival: async (arrival) => {
      if (secret === undefined) return 503; // the API has not told it yet
      arrived.resolve();
      return show(arrival, secret, options.forwardTo);
    },
  }).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CliError("broken", `Cannot listen: ${why}; choose another --port, or leave it out`, { cause });
  });
  let endpoint: ListeningEndpoint | undefined;
  try {
    const url = options.url ?? `http://${options.host}:${receiver.port}/`;
    endpoint = await openListeningEndpoint(client, { url, events: options.events?.split(",") });
    secret = endpoint.secret;
    process.stdout.write(`Listening at ${url} until Ctrl-C; the secret of this endpoint is ${secret}\n`);
    await client.send({ method: "POST", path: `/v1/webhooks/${endpoint.id}/test` });
    void warnOfWall(client, { endpoint, url, arrived: arrived.promise }, signal);
    await untilAborted(signal);
    return EXIT.succeeded;
  } finally {
    await endpoint?.remove();
    await receiver.close();
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

interface Awaited {
  readonly endpoint: ListeningEndpoint;
  readonly url: string;
  readonly arrived: Promise<void>;
}

/** When the test event does not come, says why: what the log of its tries knows. */
async function warnOfWall(client: ApiClient, { endpoint, url, arrived }: Awaited, signal: AbortSignal): Promise<void> {
  const late = await Promise.race([arrived.then(() => false), sleep(FIRST_WITHIN_MS, signal).then(() => true)]).catch(
    () => false,
  );
  if (!late) return;
  const { deliveries } = await client.ask({ path: `/v1/deliveries?endpoint=${endpoint.id}&limit=1` }, DeliveryPage);
  const tried = deliveries[0]?.last_try;
  const why = tried?.message ?? "no dispatcher has tried to send it; is one running?";
  const advice = tried?.code === "address_refused" || tried?.code === "unreachable" ? `\n${allowHostsAdvice(url)}` : "";
  process.stderr.write(`The test event has not arrived: ${why}${advice}\n`);
}

/** What is shown of an event: any of ours, also of a newer version. */
const ShownEvent = z.object({
  type: z.string(),
  data: z.object({ job: z.object({ id: z.string(), status: z.string() }).optional() }).optional(),
});

async function show(arrival: Arrival, secret: string, forwardTo: string | undefined): Promise<number> {
  const { headers, body } = arrival;
  const checked = explainSignature({ secret, headers, body, nowMs: nowMs(), toleranceS: TOLERANCE_S });
  const event = ShownEvent.safeParse(parse(body)).data;
  const job = event?.data?.job;
  const status = forwardTo === undefined ? 204 : await forward(arrival, forwardTo);
  const parts = [
    new Date(nowMs()).toISOString().slice(11, 19),
    (event?.type ?? "?").padEnd(15),
    job ? `job ${job.id} ${job.status}` : "",
    checked.verdict === "genuine" ? "verified" : `NOT VERIFIED (${checked.steps.at(-1)})`,
    forwardTo === undefined ? "" : `→ ${status}`,
  ];
  process.stdout.write(`${parts.filter((part) => part !== "").join("  ")}\n`);
  return status;
}

/** The same bytes and headers, to somebody's own server. @returns what it answered, which is answered in turn */
async function forward({ headers, body }: Arrival, url: string): Promise<number> {
  const kept = [...headers].filter(([name]) => name.startsWith("webhook-") || name === "content-type");
  const request = {
    method: "POST",
    headers: Object.fromEntries(kept),
    body: new Uint8Array(body),
    redirect: "manual",
  } as const;
  try {
    const answer = await fetch(url, { ...request, signal: withDeadline(undefined, FORWARD_MS) });
    await answer.body?.cancel();
    return answer.status;
  } catch (cause) {
    process.stderr.write(`${url} did not answer: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    return 502;
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
