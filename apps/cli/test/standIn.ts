import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Job } from "@comfyq/contract";
import { afterEach, beforeEach, onTestFinished, vi } from "vitest";

/** One request as it came. */
interface Asked {
  readonly call: string;
  readonly body: unknown;
  readonly key: string | undefined;
}

interface Answer {
  readonly status?: number;
  /** The body; a text is sent as it is, as an event stream. */
  readonly json: unknown;
}

/** An API that answers as the test says, in order; the commands of this test speak to it. @returns what it was asked */
export async function standInApi(...answers: readonly Answer[]): Promise<Asked[]> {
  const asked: Asked[] = [];
  const left = [...answers];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const key = request.headers["idempotency-key"];
    asked.push({ call: `${request.method} ${request.url}`, body: text && JSON.parse(text), key: key?.toString() });
    const { status = 200, json } = left.shift() ?? { status: 500, json: "nothing more was foreseen" };
    const [type, answer] =
      typeof json === "string" ? ["text/event-stream", json] : ["application/json", JSON.stringify(json)];
    response.writeHead(status, { "content-type": type }).end(answer);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // a TCP server's address is never a string
  vi.stubEnv("COMFYQ_URL", `http://127.0.0.1:${port}`);
  return asked;
}

/** What the commands of one test write; for the whole file. */
export function hearStdout(): string[] {
  const written: string[] = [];
  beforeEach(() => {
    written.length = 0;
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      written.push(String(text));
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  });
  return written;
}

export const refusal = (status: number, code: string, message: string): Answer => ({
  status,
  json: { error: { code, message, details: [] } },
});

/** A job as the API shows it, in whatever of its facts a test needs. */
export function job(facts: Partial<Job>): Job {
  return {
    id: "00000000-0000-7000-8000-000000000001",
    status: "queued",
    stage: null,
    created_at: "2026-11-22T10:00:00.000Z",
    run_at: null,
    started_at: null,
    completed_at: null,
    expires_at: null,
    queue_position: null,
    eta_s: null,
    progress: null,
    outputs: [],
    error: null,
    stop: null,
    attempts: 0,
    max_attempts: 3,
    instance: null,
    cached: false,
    metrics: { queued_ms: null, prepare_ms: null, render_ms: null, store_ms: null },
    pool: "default",
    priority: 0,
    timeout_s: 900,
    metadata: {},
    tags: [],
    batch: null,
    schedule: null,
    urls: { self: "", events: "", cancel: "" },
    ...facts,
  };
}
