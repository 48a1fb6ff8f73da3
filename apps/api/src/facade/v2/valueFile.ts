import type { StoredValue } from "@comfyq/contract";

/** A value as a file: Comfy API v2 knows no values, and drops nothing. */
export interface ValueFile {
  readonly content: string;
  readonly contentType: string;
}

export function valueFile({ value }: StoredValue): ValueFile {
  return typeof value === "string"
    ? { content: value, contentType: "text/plain; charset=utf-8" }
    : { content: JSON.stringify(value) ?? "null", contentType: "application/json" };
}
