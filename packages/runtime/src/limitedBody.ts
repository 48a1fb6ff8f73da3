import { type Readable, Transform } from "node:stream";
import { alarm } from "./clock.ts";
import { SafeFetchError } from "./safeFetchError.ts";

/** What a body may do. */
export interface BodyLimits {
  readonly host: string;
  readonly maxBytes: number;
  /** Longest wait for the next byte, while somebody reads. */
  readonly idleTimeoutMs: number;
  /** Bytes that were declared; undefined: unknown, or no body is to come. */
  readonly declaredBytes: number | undefined;
  /** Ends the body, also when all of it has come and nobody reads it. */
  readonly signal: AbortSignal;
  /** Turns what the network threw into our error. */
  readonly toError: (error: unknown) => SafeFetchError;
}

/**
 * The body, cut off with an error as soon as it breaks a limit. Destroying it ends the connection.
 * A consumer that reads slowly is not the sender's silence: the idle clock runs only while nothing waits to be read.
 */
export function limitBody(source: Readable, limits: BodyLimits): Readable {
  const { host, maxBytes, idleTimeoutMs, declaredBytes, signal } = limits;
  let receivedBytes = 0;
  const shortBy = (): SafeFetchError | undefined =>
    declaredBytes === undefined || receivedBytes === declaredBytes
      ? undefined
      : new SafeFetchError("length_mismatch", `${host} declared ${declaredBytes} bytes and sent ${receivedBytes}`);
  const body = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      receivedBytes += chunk.length;
      idle.restart();
      if (receivedBytes <= maxBytes) return callback(null, chunk);
      callback(new SafeFetchError("too_large", `${host} sends more than the ${maxBytes} bytes that are allowed`));
    },
    flush(callback) {
      idle.stop(); // all has come: what is left is the reader's time
      callback(shortBy());
    },
  });
  const idle = alarm(idleTimeoutMs, () => {
    if (body.readableLength > 0) return idle.restart();
    body.destroy(new SafeFetchError("idle", `${host} has sent nothing for ${idleTimeoutMs} ms`));
  });
  source.on("error", (error) => {
    const told = limits.toError(error);
    // A connection that breaks in the middle is first of all a file that is too short.
    body.destroy(told.code === "unreachable" ? (shortBy() ?? told) : told);
  });
  body.on("error", () => undefined); // a body that nobody reads must not bring the process down when it breaks
  const onAbort = (): void => void body.destroy(limits.toError(signal.reason));
  signal.addEventListener("abort", onAbort, { once: true });
  body.on("close", () => {
    signal.removeEventListener("abort", onAbort);
    idle.stop();
    source.destroy();
  });
  return source.pipe(body);
}
