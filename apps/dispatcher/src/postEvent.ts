import { KEPT_ANSWER_BYTES } from "@comfyq/contract";
import { monotonicMs, type SafeFetch, SafeFetchError, sleep } from "@comfyq/runtime";

/** Of an answer no more than this is read. */
const READ_BYTES = 8_192;
/** Nor for longer than this after its head: only the log wants it, and a slot is held meanwhile. */
const READ_MS = 1_000;

/** What a receiver answered, or why it did not. */
export type PostResult =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly retryAfter: string | undefined;
      /** The first bytes, as text, as they came. */
      readonly answer: string;
      /** Until the answer's head. */
      readonly latencyMs: number;
    }
  | { readonly kind: "lost"; readonly error: SafeFetchError; readonly latencyMs: number };

interface Post {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly post: SafeFetch;
}

/**
 * Sends one body once. The status counts as soon as the answer's head is there: however long the rest is, or however slowly it
 * drips, little of it is read, and then the line is cut. @throws what is no fault of the receiver or its network
 */
export async function postEvent({ url, body, headers, post }: Post): Promise<PostResult> {
  const startedAtMs = monotonicMs();
  const latency = () => Math.round(monotonicMs() - startedAtMs);
  try {
    const request = { method: "POST", headers, body, redirects: 0, maxBytes: Number.POSITIVE_INFINITY };
    const answer = await post(url, request);
    const latencyMs = latency();
    const text = await firstBytes(answer.body);
    return {
      kind: "answered",
      status: answer.status,
      retryAfter: answer.headers["retry-after"],
      answer: text,
      latencyMs,
    };
  } catch (error) {
    if (!(error instanceof SafeFetchError)) throw error;
    return { kind: "lost", error, latencyMs: latency() };
  }
}

/** The beginning of an answer; a body that breaks, or does not come in time, is as long as it came. */
async function firstBytes(body: Awaited<ReturnType<SafeFetch>>["body"]): Promise<string> {
  const chunks: Buffer[] = [];
  const read = async () => {
    let sizeBytes = 0;
    for await (const chunk of body) {
      chunks.push(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes >= READ_BYTES) return;
    }
  };
  const done = new AbortController();
  await Promise.race([read().catch(() => undefined), sleep(READ_MS, done.signal).catch(() => undefined)]);
  done.abort();
  body.on("error", () => {}); // a cut body is no failure
  body.destroy();
  return Buffer.concat(chunks).subarray(0, KEPT_ANSWER_BYTES).toString();
}
