import { extname } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".jpeg": "image/jpeg",
  ".webp": "image/webp",
  ".gif": "image/gif",
  ".svg": "image/svg+xml",
  ".mp4": "video/mp4",
  ".webm": "video/webm",
  ".mov": "video/quicktime",
  ".mp3": "audio/mpeg",
  ".flac": "audio/x-flac",
  ".wav": "audio/x-wav",
  ".ogg": "audio/ogg",
  ".opus": "audio/ogg",
  ".glb": "model/gltf-binary",
  ".txt": "text/plain",
  ".md": "text/markdown",
  ".json": "application/json",
  ".html": "text/html",
  ".htm": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".xml": "application/xml",
};

/** The content type of a file by its extension, as Python's mimetypes guesses it. */
export const contentTypeOf = (name: string): string => TYPES[extname(name).toLowerCase()] ?? "application/octet-stream";

const ACTIVE = ["text/html", "text/javascript", "text/css", "application/javascript", "image/svg+xml"];

/** Whether a browser could run it: then it is only offered for download (folder_paths.py). */
export const isActive = (type: string): boolean =>
  ACTIVE.includes(type) || type.endsWith("/xml") || type.endsWith("+xml");
