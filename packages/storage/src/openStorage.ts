import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { openFolder } from "./folder/openFolder.ts";
import { openS3 } from "./s3/openS3.ts";
import { type StorageOptions, withDefaults } from "./settings.ts";
import type { Storage } from "./storage.ts";
import { StorageError } from "./storageError.ts";

/**
 * Opens a store by its URL: `s3://bucket[/prefix]`, `file:///folder`, or the path of a folder.
 * Nothing is connected to and no folder is made before the first call.
 * @throws StorageError `not_configured` when the URL is none of these
 */
export function openStorage(url: string, options: StorageOptions = {}): Storage {
  const settings = withDefaults(options);
  if (url.startsWith("s3://")) return openS3(parseS3Url(url), settings);
  if (url.startsWith("file:")) return openFolder(parseFileUrl(url), settings);
  if (url === "" || /^[a-z][a-z0-9+.-]+:/i.test(url)) refuse(url);
  return openFolder(resolve(url), settings);
}

function parseS3Url(url: string): { bucket: string; prefix: string } {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(url);
  const prefix = (match?.[2] ?? "").replace(/^\/+|\/+$/g, "");
  if (!match?.[1] || /[?#]|\/\/|(^|\/)\.\.?(\/|$)/.test(prefix)) refuse(url);
  return { bucket: match[1], prefix };
}

function parseFileUrl(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    refuse(url, cause);
  }
}

function refuse(url: string, cause?: unknown): never {
  // what stands before an @ may be a password
  const shown = url.replace(/\/\/.*@/, "//***@");
  const message = `"${shown}" is no storage URL; use s3://bucket/prefix (3 to 63 of a-z, 0-9, . and - for the bucket), file:///folder or the path of a folder`;
  throw new StorageError("not_configured", message, { cause });
}
