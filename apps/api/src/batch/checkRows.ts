import {
  BATCH_LIMITS,
  type BatchRow,
  InputSource,
  parseParamPath,
  rollSeeds,
  type Workflow,
  writeValues,
} from "@comfyq/contract";
import type { RowValues } from "@comfyq/queue";
import { rollSeed } from "@comfyq/runtime";
import { ApiError } from "../errors.ts";
import { addressFault, sourceFault } from "../submit/checkSources.ts";
import { describeFault } from "../submit/writeParams.ts";
import type { SentRows } from "./readRows.ts";
import { readText } from "./readText.ts";
import type { RowFaults } from "./rowFaults.ts";

const INPUT = "input:";
const METADATA = "metadata:";

export interface CheckedRows {
  readonly rows: readonly RowValues[];
  /** Has any of them a seed that was rolled just now? */
  readonly isRandom: boolean;
}

/**
 * Judges every row against the workflow that all share, and rolls its seeds: what is kept is what will run.
 * @param workflow with the shared params written into it
 * @throws ApiError `payload_too_large` when together they are larger than Redis should keep
 */
export function checkRows(workflow: Workflow, { rows, isText }: SentRows, faults: RowFaults): CheckedRows {
  const seeded = Object.fromEntries(
    Object.entries(workflow).filter(([, { inputs }]) => "seed" in inputs || "noise_seed" in inputs),
  );
  let isRandom = false;
  let sizeBytes = 0;
  const checked = rows.map((sent, row): RowValues => {
    const note = (field: string, message: string) => faults.noteOnce(row, field, message);
    const { params, inputs, metadata } = partsOf(workflow, sent, { isText, note });
    const others = Object.fromEntries(Object.entries(sent).filter(([name]) => isOther(name)));
    const seeds = rollSeeds({ ...seeded, ...addressed(workflow, params) }, params, rollSeed);
    if (Object.keys(seeds).length > 0) isRandom = true;
    const hasMore = Object.keys(inputs).length > 0 || Object.keys(metadata).length > 0;
    const values: RowValues = {
      params: { ...params, ...seeds },
      ...(hasMore && { inputs, metadata, sent: { ...others, ...params, ...seeds } }),
    };
    sizeBytes += JSON.stringify(values).length;
    if (sizeBytes > BATCH_LIMITS.rowsBytes) throw tooLarge();
    return values;
  });
  return { rows: checked, isRandom };
}

/** What is no param. */
function isOther(name: string): boolean {
  return name.startsWith(INPUT) || name.startsWith(METADATA);
}

interface RowParts {
  readonly params: Record<string, unknown>;
  readonly inputs: Record<string, InputSource>;
  readonly metadata: Record<string, unknown>;
}

interface Reading {
  readonly isText: boolean;
  readonly note: (field: string, message: string) => void;
}

function partsOf(workflow: Workflow, sent: BatchRow, { isText, note }: Reading): RowParts {
  const params: Record<string, unknown> = {};
  const inputs: Record<string, InputSource> = {};
  const metadata: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(sent)) {
    if (name.startsWith(METADATA)) metadata[name.slice(METADATA.length)] = value;
    else if (name.startsWith(INPUT)) {
      const address = name.slice(INPUT.length);
      const source = InputSource.safeParse(value).data;
      const fault = addressFault(workflow, address) ?? (source ? sourceFault(source) : "is no address of a file");
      if (fault !== undefined) note(name, fault);
      else if (source) inputs[address] = source;
    } else {
      const path = fullPath(name);
      if (Object.hasOwn(params, path)) note(name, "is given twice, in two spellings");
      const read = isText && typeof value === "string" ? readText(workflow, path, value) : { value };
      if ("fault" in read) note(name, read.fault);
      else params[path] = read.value;
    }
  }
  for (const fault of writeValues(workflow, params).faults) note(fault.param, describeFault(fault));
  for (const [path, value] of Object.entries(params))
    if (isDangling(workflow, value)) note(path, "is linked to no node");
  if (JSON.stringify(metadata).length > 4_096) note(METADATA, "has more than 4 KB of metadata");
  return { params, inputs, metadata };
}

/** `6-inputs-text` and `6.inputs.text` are one place. */
function fullPath(name: string): string {
  const place = parseParamPath(name);
  return place ? `${place.nodeId}.inputs.${place.input}` : name;
}

function addressed(workflow: Workflow, params: Readonly<Record<string, unknown>>): Workflow {
  const ids = Object.keys(params).flatMap((path) => parseParamPath(path)?.nodeId ?? []);
  return Object.fromEntries(ids.flatMap((id) => (workflow[id] ? [[id, workflow[id]]] : [])));
}

/** A link is `[node id, output slot]`. */
function isDangling(workflow: Workflow, value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [target, slot]: readonly unknown[] = value;
  return typeof target === "string" && typeof slot === "number" && !Object.hasOwn(workflow, target);
}

function tooLarge(): ApiError {
  return new ApiError(
    "payload_too_large",
    `The rows are larger than ${BATCH_LIMITS.rowsBytes} bytes together; send several batches, or long texts as inputs`,
  );
}
