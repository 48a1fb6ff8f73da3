import * as z from "zod";
import { canonicalJson } from "./canonicalJson.ts";
import { JobId, Moment } from "./ids.ts";
import type { NewJob } from "./newJob.ts";
import type { OutputOptions } from "./outputOptions.ts";
import { parseParamPath } from "./params.ts";
import type { Workflow } from "./workflow.ts";

/** Where the name of a save node's files comes from. It does not change what is in them. */
const PREFIX_INPUT = "filename_prefix";

/** A result that can be given to identical jobs of its tenant, as long as its own job is kept. */
export const CacheEntry = z.object({
  v: z.literal(1),
  job_id: JobId,
  epoch: z.int().positive(),
  sealed_at: Moment,
  size_bytes: z.int().nonnegative(),
  /** Of the job that rendered it, by node: names of files begin so. */
  prefixes: z.record(z.string(), z.string()),
});
export type CacheEntry = z.infer<typeof CacheEntry>;

/** sha256 in hex of the bytes of each input, by its path, and of each file, by its destination. */
export interface SourceHashes {
  readonly inputs: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, string>>;
}

type Wanted = Pick<NewJob, "workflow" | "output">;

/**
 * Pure: what two jobs must have alike to have the same result on alike instances, as one text to be hashed. The graph without
 * what does not change the result (`_meta`, the names of saved files), and the bytes of inputs instead of where they are.
 */
export function resultText({ workflow, output }: Wanted, { inputs, files }: SourceHashes): string {
  const graph = bareGraph(workflow, Object.keys(inputs));
  return canonicalJson({ v: 1, workflow: graph, inputs, files, output: whatChangesBytes(output) });
}

function whatChangesBytes({ convert, thumbnail, strip_metadata }: OutputOptions = {}) {
  return { convert: convert ?? null, thumbnail: thumbnail ?? null, strip_metadata: strip_metadata ?? false };
}

/** What stands where an input is put is overwritten before it runs, and so is no part of the graph. */
function bareGraph(workflow: Workflow, inputPaths: readonly string[]): Record<string, unknown> {
  const places = new Set(inputPaths.map((path) => addressOf(parseParamPath(path))));
  const isKept = (nodeId: string, input: string, value: unknown) =>
    !isPrefix(input, value) && !places.has(addressOf({ nodeId, input }));
  return Object.fromEntries(
    Object.entries(workflow).map(([id, { _meta: _title, inputs, ...node }]) => {
      const kept = Object.entries(inputs).filter(([name, value]) => isKept(id, name, value));
      return [id, { ...node, inputs: Object.fromEntries(kept) }];
    }),
  );
}

function addressOf(address: ReturnType<typeof parseParamPath>): string {
  return JSON.stringify([address?.nodeId, address?.input]);
}

function isPrefix(name: string, value: unknown): value is string {
  return name === PREFIX_INPUT && typeof value === "string";
}

/** The names that the save nodes of a graph begin their files with, by node. */
export function filenamePrefixes(workflow: Workflow): Record<string, string> {
  return Object.fromEntries(
    Object.entries(workflow).flatMap(([id, { inputs }]) => {
      const prefix = inputs[PREFIX_INPUT];
      return isPrefix(PREFIX_INPUT, prefix) ? [[id, prefix] as const] : [];
    }),
  );
}
