import { z } from "zod";

/** JSON part of a type 4 frame (§2.7). */
export const PreviewMetadata = z.looseObject({
  node_id: z.string(),
  prompt_id: z.string(),
  display_node_id: z.string().optional(),
  parent_node_id: z.string().nullable().optional(),
  real_node_id: z.string().optional(),
  image_type: z.string(),
});
export type PreviewMetadata = z.infer<typeof PreviewMetadata>;

/**
 * One binary frame (§2.7; all integers are big-endian uint32).
 * `preview` (1) has neither node nor prompt; it is also how SaveImageWebsocket delivers results.
 * `text` (3) is broadcast and has no prompt. `preview_with_metadata` (4) goes to clients that announced
 * `supports_preview_metadata`. Anything else is `unknown`, whole.
 */
export type BinaryFrame =
  | { readonly kind: "preview"; readonly contentType: "image/jpeg" | "image/png"; readonly image: Uint8Array }
  | { readonly kind: "text"; readonly nodeId: string; readonly text: string }
  | { readonly kind: "preview_with_metadata"; readonly metadata: PreviewMetadata; readonly image: Uint8Array }
  | { readonly kind: "unknown"; readonly received: Uint8Array };

const PREVIEW = 1;
const TEXT = 3;
const PREVIEW_WITH_METADATA = 4;
const JPEG = 1;
const PNG = 2;

/** Reads one binary frame. Never throws; the images are views into `bytes`, not copies. */
export function decodeBinaryFrame(bytes: Uint8Array): BinaryFrame {
  const unknown: BinaryFrame = { kind: "unknown", received: bytes };
  if (bytes.byteLength < 8) return unknown;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [type, second, rest] = [view.getUint32(0), view.getUint32(4), bytes.subarray(8)];
  if (type === PREVIEW && (second === JPEG || second === PNG)) {
    return { kind: "preview", contentType: second === JPEG ? "image/jpeg" : "image/png", image: rest };
  }
  if (second > rest.byteLength) return unknown;
  const [head, tail] = [rest.subarray(0, second), rest.subarray(second)];
  if (type === TEXT) return { kind: "text", nodeId: fromUtf8(head), text: fromUtf8(tail) };
  if (type !== PREVIEW_WITH_METADATA) return unknown;
  const metadata = parseMetadata(fromUtf8(head));
  return metadata ? { kind: "preview_with_metadata", metadata, image: tail } : unknown;
}

/** Writes one binary frame, byte for byte as ComfyUI's server.py does. */
export function encodeBinaryFrame(frame: BinaryFrame): Uint8Array {
  switch (frame.kind) {
    case "preview":
      return join(PREVIEW, frame.contentType === "image/jpeg" ? JPEG : PNG, [frame.image]);
    case "text": {
      const nodeId = toUtf8(frame.nodeId);
      return join(TEXT, nodeId.byteLength, [nodeId, toUtf8(frame.text)]);
    }
    case "preview_with_metadata": {
      const metadata = toUtf8(JSON.stringify(frame.metadata));
      return join(PREVIEW_WITH_METADATA, metadata.byteLength, [metadata, frame.image]);
    }
    case "unknown":
      return frame.received;
  }
}

function join(first: number, second: number, parts: readonly Uint8Array[]): Uint8Array {
  const head = new Uint8Array(8);
  const view = new DataView(head.buffer);
  view.setUint32(0, first);
  view.setUint32(4, second);
  return Buffer.concat([head, ...parts]);
}

function parseMetadata(text: string): PreviewMetadata | undefined {
  try {
    return PreviewMetadata.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const toUtf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const fromUtf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
