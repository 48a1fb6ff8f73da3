import type { IncomingMessage, ServerResponse } from "node:http";
import type { Answer, OutgoingBody } from "./call.ts";
import { sleep } from "./clock.ts";
import { checkDialect, knowsConditions } from "./dialect.ts";
import { FakeS3Error } from "./fakeS3Error.ts";
import { falsify } from "./falsify.ts";
import type { ActiveFault, FaultBoard } from "./faults.ts";
import type { Link } from "./link.ts";
import { ConnectionCut, obstruct } from "./obstruct.ts";
import { chooseOperation, type S3Operation } from "./operation.ts";
import { OPERATIONS } from "./operations/index.ts";
import { type Credentials, type Proof, proveSignature } from "./signature.ts";
import type { Counters } from "./stats.ts";
import { readTarget, type Target } from "./target.ts";
import type { World } from "./world.ts";

/** Everything one server is made of. */
export interface Stand {
  readonly world: World;
  readonly credentials: Credentials;
  readonly faults: FaultBoard;
  readonly link: Link;
  readonly counters: Counters;
}

/** One request and its answer on the wire. */
interface Exchange {
  readonly stand: Stand;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborts when the client has gone or has its answer. */
  readonly closed: AbortSignal;
}

interface Admitted {
  readonly target: Target;
  readonly operation: S3Operation;
  readonly proof: Proof;
}

/** Answers one request. Never rejects: what goes wrong becomes an S3 error, or a closed connection. */
export async function serve(stand: Stand, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const closing = new AbortController();
  response.once("close", () => closing.abort());
  const exchange = { stand, request, response, closed: closing.signal };
  try {
    const admitted = admit(exchange);
    const struck = stand.faults.strike(admitted.operation, admitted.target.key);
    const answer = await perform(exchange, admitted, struck).finally(() => cutIfLost(struck));
    await send(exchange, struck ? falsify(answer, struck.fault) : answer, struck);
  } catch (error) {
    refuse(exchange, error);
  }
}

/** A refusal is lost as a success is. @throws ConnectionCut */
function cutIfLost(struck: ActiveFault | undefined): void {
  if (struck?.fault.kind === "lose_answer") throw new ConnectionCut("the answer was lost by a fault");
}

function admit({ stand, request }: Exchange): Admitted {
  try {
    const { dialect } = stand.world;
    const target = readTarget(request, dialect);
    const proof = proveSignature(target, stand.credentials, stand.world.nowMs());
    const operation = chooseOperation(target);
    checkDialect(dialect, { operation, headers: target.headers, payloadHash: proof.payloadHash });
    stand.counters.count(operation);
    return { target: knowsConditions(dialect) ? target : withoutConditions(target), operation, proof };
  } catch (error) {
    stand.counters.refusedRequests += 1;
    throw error;
  }
}

function withoutConditions(target: Target): Target {
  const isRead = target.method === "GET" || target.method === "HEAD";
  const { "if-none-match": _noneMatch, "if-match": _match, ...headers } = target.headers;
  return isRead ? target : { ...target, headers };
}

async function perform(exchange: Exchange, admitted: Admitted, struck: ActiveFault | undefined): Promise<Answer> {
  const fault = struck?.fault;
  if (fault?.kind === "delay") await sleep(fault.delayMs, exchange.closed);
  if (fault?.kind === "error") {
    const error = new FakeS3Error(fault.code, `A fault of this server says ${fault.code}`);
    if (!fault.as200) throw error;
    return { status: 200, headers: { "content-type": "application/xml" }, body: error.toXml(admitted.target.path) };
  }
  const { target, proof } = admitted;
  const wire = incoming(exchange, struck);
  return OPERATIONS[admitted.operation]({ world: exchange.stand.world, target, proof, wire });
}

/** The body on its way in. The client is told to go on only when somebody reads. */
async function* incoming(exchange: Exchange, struck: ActiveFault | undefined): AsyncGenerator<Buffer> {
  const { stand, request, response, closed } = exchange;
  if (request.headers.expect !== undefined) response.writeContinue();
  // destroyOnReturn false: an error found in the middle of a body must still be told to the client
  const chunks: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
  for await (const chunk of obstruct(chunks, struck, closed)) {
    await stand.link.up.take(chunk.length, closed);
    stand.counters.bytesIn += chunk.length;
    yield chunk;
  }
}

async function send(exchange: Exchange, answer: Answer, struck: ActiveFault | undefined): Promise<void> {
  const { request, response } = exchange;
  const body = typeof answer.body === "string" ? textBody(answer.body) : answer.body;
  response.writeHead(answer.status, {
    "x-amz-request-id": "FAKE",
    ...answer.headers,
    ...(answer.status !== 204 && answer.status !== 304 && { "content-length": body?.sizeBytes ?? 0 }),
  });
  // an early answer, as after a refused body: what is still coming is read and thrown away
  request.resume();
  if (body && request.method !== "HEAD") await sendBody(exchange, body, struck);
  response.end();
}

async function sendBody(exchange: Exchange, body: OutgoingBody, struck: ActiveFault | undefined): Promise<void> {
  const { stand, request, response, closed } = exchange;
  // a stall or a cut strikes uploads on their way in, everything else on its way out
  const strikesAnswer = request.method === "GET" ? struck : undefined;
  response.flushHeaders();
  for await (const chunk of obstruct(body.chunks, strikesAnswer, closed)) {
    await stand.link.down.take(chunk.length, closed);
    if (closed.aborted) return;
    stand.counters.bytesOut += chunk.length;
    if (!response.write(chunk)) await drained(response, closed);
  }
}

function drained(response: ServerResponse, closed: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    response.once("drain", resolve);
    closed.addEventListener("abort", () => resolve(), { once: true });
  });
}

function refuse({ request, response }: Exchange, error: unknown): void {
  if (error instanceof ConnectionCut || response.headersSent || response.destroyed) {
    request.socket.destroy();
    return;
  }
  const s3Error =
    error instanceof FakeS3Error ? error : new FakeS3Error("InternalError", String(error), { cause: error });
  const xml = request.method === "HEAD" ? "" : s3Error.toXml((request.url ?? "").split("?")[0] ?? "");
  response.writeHead(s3Error.status, { "content-type": "application/xml", "x-amz-request-id": "FAKE" });
  request.resume();
  response.end(xml);
}

function textBody(text: string): OutgoingBody {
  const bytes = Buffer.from(text);
  return { sizeBytes: bytes.length, chunks: once(bytes) };
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  if (bytes.length > 0) yield bytes;
}
