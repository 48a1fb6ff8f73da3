import type { Answer, OutgoingBody } from "./call.ts";
import type { Fault } from "./faults.ts";

/** The answer as a lying server gives it: `wrong_checksum` and `truncate`. Other faults leave it as it is. */
export function falsify(answer: Answer, fault: Fault): Answer {
  if (fault.kind === "wrong_checksum") return withWrongChecksum(answer);
  if (fault.kind === "truncate" && typeof answer.body === "object") {
    return { ...answer, body: shorten(answer.body, fault.toBytes) };
  }
  return answer;
}

function withWrongChecksum(answer: Answer): Answer {
  const headers = Object.entries(answer.headers ?? {}).map(([name, value]): [string, string] => {
    if (name === "etag") return [name, `"${"0".repeat(32)}"`];
    if (/^x-amz-checksum-(crc|sha)/.test(name)) return [name, otherBase64(value)];
    return [name, value];
  });
  // a Complete tells its ETag and checksum in the document
  const body =
    typeof answer.body === "string"
      ? answer.body.replace(
          /(<(ETag|Checksum(?:CRC|SHA)\w*)>)([^<]*)/g,
          (_, tag: string, name: string, value: string) =>
            name === "ETag" ? `${tag}&quot;${"0".repeat(32)}&quot;` : `${tag}${otherBase64(value)}`,
        )
      : answer.body;
  return { ...answer, headers: Object.fromEntries(headers), ...(body !== undefined && { body }) };
}

/** A valid value of the same length: a broken one would be noticed by its form. */
function otherBase64(value: string): string {
  return (value.startsWith("A") ? "B" : "A") + value.slice(1);
}

function shorten(body: OutgoingBody, toBytes: number): OutgoingBody {
  const sizeBytes = Math.min(body.sizeBytes, toBytes);
  return { sizeBytes, chunks: firstBytes(body.chunks, sizeBytes) };
}

async function* firstBytes(chunks: AsyncIterable<Buffer>, count: number): AsyncGenerator<Buffer> {
  let left = count;
  for await (const chunk of chunks) {
    if (left <= 0) return;
    yield chunk.subarray(0, left);
    left -= chunk.length;
  }
}
