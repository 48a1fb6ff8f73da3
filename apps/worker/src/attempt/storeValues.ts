import type { OutputValue } from "@comfyq/comfyui";
import { attemptPrefix, type StoredFile, type StoredValue } from "@comfyq/contract";
import { failPoint } from "@comfyq/runtime";
import { safeKeySegment } from "@comfyq/storage";
import type { Tools } from "../tools.ts";
import { type AttemptRun, historyOf } from "./attempt.ts";
import { untilStored } from "./untilStored.ts";

/** A value stands in the job itself, and so in Redis, in every answer and in webhooks, only while it is small. */
const MOST_INLINE_BYTES = 64 * 1_024;
/** All inline values of one job. */
const MOST_INLINE_BYTES_TOGETHER = 256 * 1_024;

/**
 * Names every value after its node, key and place. Large ones become files, of text or JSON: a hundred texts of 250 KB in
 * one answer would stop Redis for everybody.
 * @param taken names of the job's files
 * @throws JobError `output_push_failed`
 */
export async function storeValues(
  run: AttemptRun,
  { values, taken }: { readonly values: readonly OutputValue[]; readonly taken: ReadonlySet<string | undefined> },
  tools: Tools,
): Promise<(StoredValue | StoredFile)[]> {
  const stored: (StoredValue | StoredFile)[] = [];
  let inlineBytes = 0;
  for (const { node_id, key, index, value } of values) {
    const name = `${node_id}.${key}.${index}`;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const sizeBytes = Buffer.byteLength(text);
    if (sizeBytes <= MOST_INLINE_BYTES && inlineBytes + sizeBytes <= MOST_INLINE_BYTES_TOGETHER) {
      inlineBytes += sizeBytes;
      stored.push({ node_id, name, type: "value", value });
    } else {
      const file = nameOfFile(`${name}.${typeof value === "string" ? "txt" : "json"}`, taken);
      stored.push(await storeText(run, { node_id, name: file, text }, tools));
    }
  }
  return stored;
}

function nameOfFile(name: string, taken: ReadonlySet<string | undefined>): string {
  const safe = safeKeySegment(name);
  return taken.has(safe) ? nameOfFile(`value-${safe}`, taken) : safe;
}

interface LargeValue {
  readonly node_id: string;
  readonly name: string;
  readonly text: string;
}

async function storeText(run: AttemptRun, { node_id, name, text }: LargeValue, tools: Tools): Promise<StoredFile> {
  const { job, signal } = run;
  const key = `${attemptPrefix(job.id, job.epoch, job.head.output)}${name}`;
  const contentType = name.endsWith(".json") ? "application/json" : "text/plain; charset=utf-8";
  const bytes = Buffer.from(text);
  const options = { contentType, signal, sizeBytes: bytes.length };
  const put = await untilStored(run, tools, () => tools.store.put(key, bytes, options));
  await failPoint("output_stored", historyOf(run, { key, sha256: put.sha256, size: put.sizeBytes }));
  const output = { node_id, name, type: "text" as const, size_bytes: put.sizeBytes };
  job.show({ event: "output", data: output });
  return { ...output, content_type: contentType, sha256: put.sha256, key };
}
