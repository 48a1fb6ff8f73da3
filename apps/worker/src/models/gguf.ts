import type { FileHandle } from "node:fs/promises";

const HEADER_BYTES = 24;
const VERSIONS = [2, 3];
/** Far above any model there is; a file that claims more would only fill its reader's memory. */
const MOST_TENSORS = 1_000_000n;
const MOST_FACTS = 1_000_000n;
/** Least room that the description of one tensor, or one fact, takes: lengths, a type and an offset. */
const TENSOR_BYTES = 24n;
const FACT_BYTES = 13n;

/** What is wrong with a GGUF file's head, in words that follow its name. Source: ggml, docs/gguf.md. */
export async function ggufFault(file: FileHandle, sizeBytes: number): Promise<string | undefined> {
  const head = Buffer.alloc(HEADER_BYTES);
  const { bytesRead } = await file.read(head, 0, HEADER_BYTES, 0);
  if (bytesRead < HEADER_BYTES || head.toString("latin1", 0, 4) !== "GGUF")
    return "is no GGUF file: it does not begin with GGUF";
  const version = head.readUInt32LE(4);
  if (!VERSIONS.includes(version)) return `is GGUF of version ${version}, and only ${VERSIONS.join(" and ")} are known`;
  const [tensors, facts] = [head.readBigUInt64LE(8), head.readBigUInt64LE(16)];
  if (tensors === 0n || tensors > MOST_TENSORS || facts > MOST_FACTS)
    return `is no GGUF file that can be right: it claims ${tensors} tensors and ${facts} facts about them`;
  const leastBytes = BigInt(HEADER_BYTES) + tensors * TENSOR_BYTES + facts * FACT_BYTES;
  return BigInt(sizeBytes) < leastBytes ? `is cut off: it claims ${tensors} tensors in ${sizeBytes} bytes` : undefined;
}
