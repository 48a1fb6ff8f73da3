import { buffer } from "node:stream/consumers";
import { MOST_PICTURE_BYTES, PictureRefusal, type PictureView, type Turnstile, viewPicture } from "@comfyq/media";
import type { SentObject } from "../../objects/sendObject.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call } from "../../route.ts";

/** What ComfyUI takes where nothing is said (server.py view_image). */
const PREVIEW_QUALITY = 90;

/** What a client wants to see of a picture; undefined: the file as it is. Source: server.py view_image. */
export function pictureWish(preview: string | undefined, channel = ""): PictureView | undefined {
  const shown = channel === "rgb" || channel === "a" ? channel : "rgba";
  if (preview === undefined) return shown === "rgba" ? undefined : { channel: shown, format: "png" };
  const [format, ...more] = preview.split(";");
  const last = more.at(-1) ?? "";
  const quality = /^\d{1,3}$/.test(last) ? Math.min(100, Math.max(1, Number(last))) : PREVIEW_QUALITY;
  // Where transparency is asked for there is no JPEG; and a preview shows it as it is, not alone.
  const isJpeg = format === "jpeg" && !channel.includes("a");
  return { channel: channel === "rgb" ? "rgb" : "rgba", format: isJpeg ? "jpeg" : "webp", quality };
}

interface SentPicture {
  readonly found: SentObject;
  readonly wish: PictureView;
  readonly pictures: Turnstile;
}

/** Sends a stored picture as it is wanted. @returns false when it cannot be made: then the file is sent as it is */
export async function sendPicture(
  { storage }: Rooms,
  { req, res, signal }: Call,
  { found, wish, pictures }: SentPicture,
): Promise<boolean> {
  const { channel, format, quality = "" } = wish;
  const etag = found.sha256 === undefined ? undefined : `"${found.sha256}-${channel}-${format}-${quality}"`;
  if (etag !== undefined && req.get("if-none-match")?.includes(etag)) {
    res.status(304).set("ETag", etag).end();
    return true;
  }
  const bytes = await pictures.inTurn(async () => {
    const { body, totalBytes } = await storage.get(found.key, { signal });
    if (totalBytes <= MOST_PICTURE_BYTES) return made(await buffer(body), wish, signal);
    body.destroy();
    return undefined;
  }, signal);
  if (!bytes) return false;
  res.set({
    "Content-Type": `image/${format}`,
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=3600",
    ...(etag === undefined ? {} : { ETag: etag }),
  });
  res.end(bytes);
  return true;
}

async function made(source: Buffer, wish: PictureView, signal: AbortSignal): Promise<Buffer | undefined> {
  try {
    return await viewPicture(source, wish, signal);
  } catch (error) {
    if (error instanceof PictureRefusal) return undefined;
    throw error;
  }
}
