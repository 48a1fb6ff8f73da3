import { encodeBinaryFrame, PreviewMetadata } from "../wire/index.ts";
import type { RecordedFrame } from "./index.ts";

/** What goes onto the socket: text, or bytes. */
export type Recreated = string | Uint8Array;

/**
 * Turns a recorded frame back into what the server sent, with the ids of a live conversation in the placeholders'
 * stead. Of a preview only the first bytes were recorded, so the image is just those.
 */
export function recreate(frame: RecordedFrame, fill: (text: string) => string): Recreated {
  if (!("binary" in frame)) return fill(JSON.stringify(frame));
  const image = Buffer.from(frame.image_magic, "hex");
  if (frame.binary === 1) {
    return encodeBinaryFrame({
      kind: "preview",
      contentType: frame.image_format === 1 ? "image/jpeg" : "image/png",
      image,
    });
  }
  const metadata = PreviewMetadata.parse(JSON.parse(fill(JSON.stringify(frame.metadata))));
  return encodeBinaryFrame({ kind: "preview_with_metadata", metadata, image });
}
