import { isUtf8 } from "node:buffer";
import { BATCH_LIMITS, type BatchRow, type NewBatch } from "@comfyq/contract";
import { ApiError } from "../errors.ts";
import type { RowsFile } from "./readBatchRequest.ts";
import { readCsv } from "./readCsv.ts";
import type { RowFaults } from "./rowFaults.ts";

/** The rows of a batch, as they were sent. */
export interface SentRows {
  readonly rows: readonly BatchRow[];
  /** CSV has texts only: what they stand for is for the workflow to say. */
  readonly isText: boolean;
}

const FORMS = ["rows", "grid", "csv", "jsonl"] as const;

/**
 * Takes the rows out of whichever form they were sent in.
 * @throws ApiError `invalid_request` when there is not exactly one, none or too many rows, or a form that cannot be read
 */
export function readRows(body: NewBatch, file: RowsFile | undefined, faults: RowFaults): SentRows {
  const given = FORMS.filter((form) => body[form] !== undefined);
  if (given.length + (file ? 1 : 0) !== 1) throw notOneForm(given, file);
  const sent = readForm(body, file, faults);
  if (sent.rows.length === 0) throw refused("There are no rows; a batch has one job for each", given[0] ?? "rows");
  if (sent.rows.length > BATCH_LIMITS.rows) throw tooMany(String(sent.rows.length), given[0] ?? "rows");
  return sent;
}

function readForm({ rows, grid, csv, jsonl }: NewBatch, file: RowsFile | undefined, faults: RowFaults): SentRows {
  if (rows) return { rows, isText: false };
  if (grid) return { rows: crossed(grid), isText: false };
  const csvText = csv ?? (file?.form === "csv" ? textOf(file) : undefined);
  if (csvText !== undefined) return { rows: readCsv(csvText, faults), isText: true };
  const lines = jsonl ?? (file ? textOf(file) : "");
  return { rows: readJsonLines(lines, faults), isText: false };
}

/** Every combination; the last name changes first, as an odometer does. */
function crossed(grid: Readonly<Record<string, readonly unknown[]>>): readonly BatchRow[] {
  const axes = Object.entries(grid);
  const count = axes.reduce((product, [, values]) => product * values.length, axes.length === 0 ? 0 : 1);
  if (count > BATCH_LIMITS.rows) {
    const shown = axes.map(([, values]) => values.length).join(" x ");
    throw tooMany(`${shown} = ${count}`, "grid");
  }
  let rows: BatchRow[] = count === 0 ? [] : [{}];
  for (const [name, values] of axes) rows = rows.flatMap((row) => values.map((value) => ({ ...row, [name]: value })));
  return rows;
}

function readJsonLines(text: string, faults: RowFaults): readonly BatchRow[] {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const filled = lines.flatMap((line, at) => (line.trim() === "" ? [] : [{ line, number: at + 1 }]));
  if (filled.length > BATCH_LIMITS.rows) throw tooMany(String(filled.length), "jsonl");
  return filled.map(({ line, number }, row) => {
    const value = parseLine(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as BatchRow; // just told
    faults.note(row, "", `line ${number} is ${value === undefined ? "not JSON" : "no JSON object"}`);
    return {};
  });
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function textOf({ bytes, form }: RowsFile): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  throw refused(`The ${form} file is not UTF-8 text; save it as UTF-8`, "rows");
}

function notOneForm(given: readonly string[], file: RowsFile | undefined): ApiError {
  const found = [...given, ...(file ? ["a rows file"] : [])];
  const what = found.length === 0 ? "There are no rows" : `There are rows in ${found.join(" and ")}`;
  return refused(`${what}; send them in one of ${FORMS.join(", ")}, or as a file`, "rows");
}

function tooMany(count: string, path: string): ApiError {
  return refused(`The batch has ${count} rows, and at most ${BATCH_LIMITS.rows} are taken; send several batches`, path);
}

function refused(message: string, path: string): ApiError {
  return new ApiError("invalid_request", message, { details: [{ path, message }] });
}
