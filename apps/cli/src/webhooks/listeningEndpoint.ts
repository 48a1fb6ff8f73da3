import { hostname } from "node:os";
import { WebhookEndpointList, WebhookEndpointMade } from "@comfyq/contract";
import type { ApiClient } from "../api/apiClient.ts";
import { CliError } from "../CliError.ts";

/** An endpoint that is there for as long as somebody listens. */
export interface ListeningEndpoint {
  readonly id: string;
  readonly secret: string;
  remove(): Promise<void>;
}

/** How such an endpoint is called: by it the next one who listens finds what a killed one left behind. */
const NAME = "comfyq webhooks listen";

interface Wish {
  readonly url: string;
  /** Undefined: every way a job can end. */
  readonly events: readonly string[] | undefined;
}

/**
 * Has the API tell this address of events; first removes what listeners of this machine that died have left.
 * @throws CliError `refused` or `bad_input` with the API's words, and what to do when it is about the address
 */
export async function openListeningEndpoint(client: ApiClient, { url, events }: Wish): Promise<ListeningEndpoint> {
  await removeLeftovers(client);
  const json = { url, events, description: `${NAME} (${hostname()} ${process.pid})` };
  const made = await client
    .ask({ method: "POST", path: "/v1/webhooks", json }, WebhookEndpointMade)
    .catch((cause: unknown) => {
      if (!(cause instanceof CliError) || cause.code === "unreachable" || !cause.message.includes("COMFYQ_ALLOW_HOSTS"))
        throw cause;
      throw new CliError(cause.code, `${cause.message}\n${allowHostsAdvice(url)}`, { cause });
    });
  return { id: made.id, secret: made.secret, remove: () => remove(client, made.id) };
}

/** What to do when the dispatcher may not reach the address. */
export function allowHostsAdvice(url: string): string {
  return (
    "Private addresses are closed to webhooks unless the operator opens them. For development start comfyq with\n" +
    `  COMFYQ_ALLOW_HOSTS=${new URL(url).hostname}:*\n` +
    "and where it runs in a container, listen with --host 0.0.0.0 --url http://host.docker.internal:<port>/"
  );
}

async function removeLeftovers(client: ApiClient): Promise<void> {
  const { endpoints } = await client.ask({ path: "/v1/webhooks" }, WebhookEndpointList);
  for (const { id, description } of endpoints) if (isLeftover(description)) await remove(client, id);
}

/** Of this machine, by a process that is gone. */
function isLeftover(description: string): boolean {
  const [, host, pid] = /^comfyq webhooks listen \((\S+) (\d+)\)$/.exec(description) ?? [];
  return host === hostname() && !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0); // only asks
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"; // somebody else's
  }
}

async function remove(client: ApiClient, id: string): Promise<void> {
  await client.send({ method: "DELETE", path: `/v1/webhooks/${id}` });
}
