import { KEPT_ANSWER_BYTES } from "@comfyq/contract";
import type { TryReport } from "@comfyq/queue";
import { cleanText } from "@comfyq/runtime";
import type { PostResult } from "./postEvent.ts";
import { retryAfterMs } from "./retryAfter.ts";

interface Judging {
  readonly nowMs: number;
  /** The receiver's address as it may be shown. */
  readonly shownUrl: string;
  /** Takes the receiver's own secrets out of a text. */
  readonly hide: (text: string) => string;
}

/** What one answer, or none, means: 2xx is delivered, 410 is the end, everything else is tried again. */
export function judgePost(result: PostResult, { nowMs, shownUrl, hide }: Judging): TryReport {
  const { latencyMs } = result;
  if (result.kind === "lost") return { ...lost(result.error, shownUrl), latencyMs };
  const { status, retryAfter } = result;
  const shared = { status, latencyMs, answer: cleanAnswer(result.answer, hide), isAnswered: true };
  if (status >= 200 && status < 300)
    return { ...shared, code: "delivered", message: null, verdict: { kind: "delivered" } };
  if (status === 410) {
    const message = `${shownUrl} answered 410 Gone; it wants no more events`;
    return { ...shared, code: "gone", message, verdict: { kind: "give_up" } };
  }
  const afterMs = retryAfterMs(retryAfter, nowMs) ?? 0;
  const message = `${shownUrl} answered ${status}; only 2xx counts as delivered`;
  return { ...shared, code: "not_accepted", message, verdict: { kind: "again", afterMs } };
}

/** Refused addresses will be refused again; all else is the network's trouble, and passes. */
function lost(error: Extract<PostResult, { kind: "lost" }>["error"], shownUrl: string): Omit<TryReport, "latencyMs"> {
  const { code, status } = error;
  const isHopeless = code === "address_refused" || code === "bad_url";
  const message =
    code === "redirect_refused"
      ? `${shownUrl} answered ${status ?? "3xx"}, a redirect; a receiver must answer itself: give the address it redirects to`
      : error.message;
  return {
    status: status ?? null,
    code,
    message,
    answer: null,
    isAnswered: status !== undefined,
    verdict: isHopeless ? { kind: "give_up" } : { kind: "again", afterMs: 0 },
  };
}

/** What may be kept of an answer: on one line, no secrets, short. */
function cleanAnswer(text: string, hide: (text: string) => string): string {
  const oneLine = cleanText(hide(text))
    .replace(/[\p{C}\p{Z}]+/gu, " ")
    .trim();
  return Buffer.from(oneLine)
    .subarray(0, KEPT_ANSWER_BYTES)
    .toString()
    .replace(/\uFFFD+$/, "");
}
