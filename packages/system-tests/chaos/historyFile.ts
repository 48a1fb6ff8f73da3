import { appendFileSync, closeSync, openSync, readSync, statSync, writeFileSync } from "node:fs";
import { type Line, type Note, parseHistory } from "./history.ts";

/** The file that every actor of a run appends to. */
export interface HistoryFile {
  readonly path: string;
  /** Adds a line of the harness's own. */
  note(actor: string, note: Note): void;
  /** Where it ends now: what is noted from here on begins there. */
  sizeBytes(): number;
  /** All lines from that place on. */
  since(byte: number): readonly Line[];
}

/** Begins an empty history. */
export function openHistory(path: string): HistoryFile {
  writeFileSync(path, "");
  return {
    path,
    note: (actor, note) => {
      const t = performance.timeOrigin + performance.now(); // the clock that the product's lines have
      appendFileSync(path, `${JSON.stringify({ t, actor, ...note })}\n`);
    },
    sizeBytes: () => statSync(path).size,
    since: (byte) => parseHistory(readFrom(path, byte)),
  };
}

function readFrom(path: string, byte: number): string {
  const bytes = Buffer.alloc(statSync(path).size - byte);
  const file = openSync(path, "r");
  try {
    readSync(file, bytes, 0, bytes.length, byte);
  } finally {
    closeSync(file);
  }
  return bytes.toString("utf8");
}
