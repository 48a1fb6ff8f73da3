import { expect, onTestFinished } from "vitest";
import { readJson, type System } from "./setup.ts";
import { type Received, startWebhookSink } from "./webhookSink.ts";

/** An endpoint, and the receiver that it leads to. */
export interface Ears {
  readonly id: string;
  readonly secret: string;
  readonly arrivals: readonly Received[];
  /** Ids of the events of one type that arrived, each once. */
  ids(type: string): readonly string[];
  /** What it answers from now on; 204 unless told otherwise. */
  answerWith(status: number): void;
}

/** Makes a receiver of its own, and an endpoint that sends to it; both are gone when the test has finished. */
export async function growEars(system: System, wish: object = {}): Promise<Ears> {
  let secret = "";
  const sink = await startWebhookSink(() => secret, "/in");
  onTestFinished(() => sink.close());
  const made = await system.post("/v1/webhooks", { url: sink.url, ...wish });
  expect(made.status).toBe(201);
  const endpoint = await readJson<{ id: string; secret: string }>(made);
  const { id } = endpoint;
  secret = endpoint.secret;
  onTestFinished(async () => void (await removeEndpoint(system, id)));
  return {
    id,
    secret,
    get arrivals() {
      return sink.all();
    },
    ids: (type) => [
      ...new Set(
        sink
          .all()
          .filter(({ event }) => event.type === type)
          .map((one) => one.id),
      ),
    ],
    answerWith: (status) => sink.answerWith(status),
  };
}

export function removeEndpoint({ url }: System, id: string): Promise<Response> {
  return fetch(`${url}/v1/webhooks/${id}`, { method: "DELETE" });
}
