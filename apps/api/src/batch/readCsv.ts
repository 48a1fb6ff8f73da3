import { BATCH_LIMITS } from "@comfyq/contract";
import { CsvError, parse } from "csv-parse/sync";
import { ApiError } from "../errors.ts";
import type { RowFaults } from "./rowFaults.ts";

/** One line of values, by the names of the first line; empty ones are left out. */
export type CsvRow = Readonly<Record<string, string>>;

interface CsvRecord {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

/**
 * Reads RFC 4180, and what spreadsheets make of it: a byte order mark, CRLF, and `;` or tabs where the first line has no comma.
 * An empty value means that the row says nothing there.
 * @throws ApiError `invalid_request` when it cannot be read at all; what is wrong in single lines is noted
 */
export function readCsv(text: string, faults: RowFaults): readonly CsvRow[] {
  const [head, ...lines] = records(text);
  if (!head)
    throw new ApiError("invalid_request", "The CSV is empty; its first line names the params", faultOf("is empty"));
  const names = head.record.map((name) => name.trim());
  checkNames(names, faults);
  return lines.map(({ record, info }, row) => {
    if (record.length !== names.length)
      faults.note(row, "", `line ${info.lines} has ${record.length} values, and the first line names ${names.length}`);
    return Object.fromEntries(names.flatMap((name, at) => (record[at] ? [[name, record[at]]] : [])));
  });
}

function records(text: string): readonly CsvRecord[] {
  try {
    const options = { bom: true, info: true, relax_column_count: true, skip_empty_lines: true } as const;
    // Two more than are taken: the names, and one row that shows that there are too many.
    return parse(text, {
      ...options,
      delimiter: delimiterOf(text),
      to: BATCH_LIMITS.rows + 2,
    }) as unknown as CsvRecord[]; // info: true
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw new ApiError("invalid_request", `The CSV cannot be read: ${cause.message}`, {
      cause,
      ...faultOf(cause.message),
    });
  }
}

function delimiterOf(text: string): string {
  const line = /^[^\r\n]*/.exec(text)?.[0] ?? "";
  if (line.includes(",")) return ",";
  return line.includes("\t") ? "\t" : line.includes(";") ? ";" : ",";
}

function checkNames(names: readonly string[], faults: RowFaults): void {
  for (const [at, name] of names.entries()) {
    if (name === "") faults.note(undefined, "", `column ${at + 1} has no name in the first line`);
    else if (names.indexOf(name) !== at) faults.note(undefined, name, `is named twice in the first line`);
  }
}

function faultOf(message: string) {
  return { details: [{ path: "csv", message }] };
}
