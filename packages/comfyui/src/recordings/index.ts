/**
 * Two dialogues with the unmodified ComfyUI servers 0.33.0 and 0.3.64, 27 scenarios each: golden files for whoever
 * speaks the protocol, from either end (reference/comfyui-protocol.md §0). For tests.
 */
import { readFileSync } from "node:fs";

export { type Names, normalise, normaliseBinary } from "./normalise.ts";
export { type Recreated, recreate } from "./recreate.ts";

/** A frame as recorded: `{ type, data }` for text, `{ binary, … }` for binary (see {@link normaliseBinary}). */
export type RecordedFrame =
  | { readonly type: string; readonly data: unknown }
  | { readonly binary: 1; readonly image_format: 1 | 2; readonly image_magic: string }
  | { readonly binary: 4; readonly metadata: Readonly<Record<string, unknown>>; readonly image_magic: string };

/** One conversation: what was asked, what was answered, and what every socket received, in order. */
export interface RecordedScenario {
  readonly request: { readonly prompt: Readonly<Record<string, unknown>>; readonly client_id?: string };
  readonly response_status: number;
  readonly response: Readonly<Record<string, unknown>>;
  /** To the socket whose clientId is the request's `client_id`; it had announced `supports_preview_metadata`. */
  readonly client_frames: readonly RecordedFrame[];
  /** To another socket, which had announced nothing. */
  readonly other_client_frames: readonly RecordedFrame[];
  /** `GET /history/{id}` at the end; null when the prompt was refused. */
  readonly history: Readonly<Record<string, unknown>> | null;
  /** `GET /api/jobs/{id}` at the end; null when refused, or when the server has no jobs API. */
  readonly job: Readonly<Record<string, unknown>> | null;
}

/** All conversations with one server. */
export interface Recording {
  /** The ComfyUI version that was recorded. */
  readonly version: string;
  /** By name, in the order in which they ran on one server (`number` and file counters run through). */
  readonly scenarios: readonly (RecordedScenario & { readonly name: string })[];
  /** The first frames of each socket, before any scenario. */
  readonly connect: { readonly client: readonly RecordedFrame[]; readonly other: readonly RecordedFrame[] };
}

/** Both recordings, oldest server first. */
export const RECORDINGS: readonly Recording[] = ["0.3.64", "0.33.0"].map(load);

function load(version: string): Recording {
  // The same relative path from src/recordings and from dist/recordings.
  const file = readFileSync(new URL(`../../recordings/${version}.json`, import.meta.url), "utf8");
  const recorded = JSON.parse(file) as RecordingFile; // our own golden file, not input
  const scenarios = Object.entries(recorded.scenarios).map(([name, scenario]) => ({ name, ...scenario }));
  return { version: recorded.comfyui_version, scenarios, connect: recorded.connect };
}

interface RecordingFile {
  readonly comfyui_version: string;
  readonly scenarios: Readonly<Record<string, RecordedScenario>>;
  readonly connect: Recording["connect"];
}
