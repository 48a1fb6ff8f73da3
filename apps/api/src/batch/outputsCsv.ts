import type { BatchRowView, Output } from "@comfyq/contract";

const BEFORE = ["row", "status", "job_id"];
const AFTER = ["node_id", "name", "type", "content_type", "size_bytes", "hash", "url", "value", "error_code", "error"];

/** @param params names of what differs from row to row */
export function csvHead(params: readonly string[]): string {
  return line([...BEFORE, ...params, ...AFTER]);
}

/** A line for each output of a row; one when it has none. */
export function csvLines(
  params: readonly string[],
  { row, status, job_id, params: values, outputs, error }: BatchRowView,
): string {
  const before = [row, status, job_id, ...params.map((name) => values[name])];
  const after = [error?.code, error?.message];
  const lines = outputs.map((output) => [...before, ...cells(output), ...after]);
  if (lines.length > 0) return lines.map(line).join("");
  return line([...before, ...Array.from({ length: AFTER.length - after.length }, () => ""), ...after]);
}

function cells({ node_id, name, type, content_type, size_bytes, hash, url, value }: Output): readonly unknown[] {
  return [node_id, name, type, content_type, size_bytes, hash, url, value];
}

/** RFC 4180. */
function line(values: readonly unknown[]): string {
  return `${values.map(cell).join(",")}\r\n`;
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
