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
  readonly sizeBytes?: number;
}
