import { decodeBinaryFrame } from "../wire/index.ts";

/** The ids of a live conversation, to be replaced by the placeholders of the recordings. */
export interface Names {
  readonly promptId?: string;
  readonly clientId?: string;
  readonly otherClientId?: string;
}

/** Keys whose value is a moment; recorded as 0. */
const MOMENTS = new Set(["timestamp", "create_time", "execution_start_time", "execution_end_time"]);

/** Keys whose lists come from a Python set, in no particular order. */
const UNORDERED = new Set(["executed", "current_outputs", "dependent_outputs"]);

/**
 * Rewrites a live body or text frame into the form of the recordings: ids become placeholders, moments 0, tracebacks
 * one fixed line, and memory addresses, random names and the order of sets stop mattering. Apply it to both sides of a
 * comparison.
 */
export function normalise(live: unknown, names: Names = {}): unknown {
  if (typeof live === "string") return normaliseText(live, names);
  if (Array.isArray(live)) return normaliseList(live, names);
  if (typeof live !== "object" || live === null) return live;
  const entries = Object.entries(live).map(([key, value]) => [
    normaliseText(key, names),
    normaliseField(key, value, names),
  ]);
  return Object.fromEntries(entries);
}

/** Describes a binary frame as the recordings do: kind, metadata and the first 4 bytes of the image, in hex. */
export function normaliseBinary(bytes: Uint8Array, names: Names = {}): unknown {
  const frame = decodeBinaryFrame(bytes);
  switch (frame.kind) {
    case "preview":
      return { binary: 1, image_format: frame.contentType === "image/jpeg" ? 1 : 2, image_magic: magic(frame.image) };
    case "preview_with_metadata":
      return { binary: 4, metadata: normalise(frame.metadata, names), image_magic: magic(frame.image) };
    case "text":
      return { binary: 3, node_id: frame.nodeId, text: frame.text };
    case "unknown":
      return { binary: "unknown", bytes: Buffer.from(frame.received).toString("hex") };
  }
}

function normaliseField(key: string, value: unknown, names: Names): unknown {
  if (MOMENTS.has(key)) return 0;
  if (key === "traceback" && Array.isArray(value) && value.length > 0) return ["<traceback frame>"];
  const list = normalise(value, names);
  return UNORDERED.has(key) && Array.isArray(list) ? list.toSorted(byText) : list;
}

function normaliseList(live: readonly unknown[], names: Names): unknown {
  const list = live.map((item) => normalise(item, names));
  // A queue or history tuple ends in its output nodes, which the server keeps in a set.
  const last = list.at(-1);
  const isPromptTuple = list.length === 5 && typeof list[0] === "number" && Array.isArray(last);
  return isPromptTuple ? [...list.slice(0, -1), last.toSorted(byText)] : list;
}

function normaliseText(text: string, names: Names): string {
  if (text === names.promptId) return "<PROMPT_ID>";
  if (text === names.clientId) return "<CLIENT>";
  if (text === names.otherClientId) return "<OTHER>";
  return text.replace(/ at 0x[0-9a-fA-F]+>/g, " at 0x0>").replace(/^ComfyUI_temp_[a-z]{5}_/, "ComfyUI_temp_abcde_");
}

function magic(image: Uint8Array): string {
  return Buffer.from(image.subarray(0, 4)).toString("hex");
}

const byText = (a: unknown, b: unknown): number => String(a).localeCompare(String(b));
