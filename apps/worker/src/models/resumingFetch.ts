import type { SafeFetch, SafeFetchResponse } from "@comfyq/runtime";

/** What a source said of the bytes it is sending. */
interface SentRange {
  /** Where they begin: 0, or where an earlier connection broke off. */
  readonly startBytes: number;
  /** Of the whole file; undefined: not told. */
  readonly totalBytes: number | undefined;
  /** Names this very content, for `If-Range`; undefined: the source cannot be asked for the rest. */
  readonly validator: string | undefined;
}

interface ResumingFetch {
  readonly fetch: SafeFetch;
  /** Of the newest answer; undefined before, and for sources that are not fetched. */
  readonly sent: () => SentRange | undefined;
}

/**
 * A fetch that asks for the rest of a file, if it is still the same one, and shows the answer as if it were a whole one.
 * @param have what came before; undefined: ask for all
 */
export function resumingFetch(
  fetch: SafeFetch,
  have: { readonly bytes: number; readonly validator: string } | undefined,
): ResumingFetch {
  let sent: SentRange | undefined;
  return {
    sent: () => sent,
    fetch: async (url, request = {}) => {
      const all = () => fetch(url, request);
      const rest = have && { range: `bytes=${have.bytes}-`, "if-range": have.validator };
      let answer = rest ? await fetch(url, { ...request, headers: { ...request.headers, ...rest } }) : await all();
      if (rest && answer.status === 416) {
        answer.body.destroy();
        answer = await all();
      }
      sent = rangeOf(answer);
      const isRest = answer.status === 206 && have !== undefined;
      if (isRest && (sent.startBytes !== have.bytes || (sent.validator ?? have.validator) !== have.validator)) {
        answer.body.destroy(); // not what was asked for
        answer = await all();
        sent = rangeOf(answer);
      }
      return answer.status === 206 ? { ...answer, status: 200 } : answer;
    },
  };
}

function rangeOf({ status, headers, sizeBytes }: SafeFetchResponse): SentRange {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers["content-range"] ?? "") ?? [];
  const etag = headers["etag"];
  // A weak tag promises the same meaning, not the same bytes (RFC 9110 §13.1.5).
  const validator = etag !== undefined && !etag.startsWith("W/") ? etag : headers["last-modified"];
  if (status !== 206) return { startBytes: 0, totalBytes: sizeBytes, validator };
  return {
    startBytes: start === undefined ? -1 : Number(start),
    totalBytes: total === undefined || total === "*" ? undefined : Number(total),
    validator,
  };
}
