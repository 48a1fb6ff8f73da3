import type { Readable } from "node:stream";
import type { FileType } from "./wire/index.ts";

/** One file for the server. */
export interface Upload {
  readonly body: Readable | Uint8Array;
  readonly name: string;
  readonly subfolder?: string;
  /** Default `input`. */
  readonly type?: FileType;
  readonly overwrite?: "replace" | "rename";
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

/** Where the server put it. It renames on collision, so use this name. */
export interface Uploaded {
  readonly name: string;
  readonly subfolder: string;
  readonly type: FileType;
}

/** Where a file lies on the server; `type` is `output` when absent. */
export interface FileAddress {
  readonly filename: string;
  readonly subfolder?: string;
  readonly type?: FileType;
}

/** An open file. */
export interface ViewedFile {
  /** Read it to the end or destroy it. It fails when fewer bytes come than were announced, or none for `idleMs`. */
  readonly body: Readable;
  readonly contentType: string;
  /** Of `body`. */
  readonly sizeBytes?: number;
  /** Only when a range was asked and the server honours ranges: then any other can be asked as well. */
  readonly whole?: { readonly sizeBytes: number; readonly version: string };
}

/** What to view. */
export interface ViewOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes `start` (included) to `end` (excluded; to the last one when left out). Not every server honours it. */
  readonly range?: { readonly start: number; readonly end?: number | undefined };
}

/**
 * Fetches what a server redirects to on another origin, by the caller's own rules; follows further redirects itself. The URL may
 * hold a signature: no error may show it.
 */
export type FetchElsewhere = (
  url: URL,
  request: {
    readonly method: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
  },
) => Promise<{
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}>;
