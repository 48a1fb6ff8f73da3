import { createHash } from "node:crypto";

/** Shorter than a file system's 255, so that callers may put something before or behind it. */
const LONGEST_BYTES = 200;
const LONGEST_EXTENSION_BYTES = 20;
/** Letters, digits and their marks in any alphabet, and the signs that no shell, URL or file system takes amiss. */
const UNSAFE = /[^\p{L}\p{M}\p{N} ._()-]/gu;
/** Names that Windows keeps for devices, with any extension. */
const DEVICE_NAME = /^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$/i;

/**
 * One segment of a key from a name that nobody vouches for, such as a file name a ComfyUI node chose.
 * A harmless name stays as it is; any other is cleaned and marked with ten digits of its own hash, so that two different
 * names do not meet: `../../etc/passwd` becomes `etc_passwd-` and its digits. The extension stays.
 */
export function safeKeySegment(name: string): string {
  const cleaned = clean(name);
  const harmless = cleaned === name && name !== "" && !DEVICE_NAME.test(name);
  if (harmless && Buffer.byteLength(name) <= LONGEST_BYTES) return name;
  const mark = createHash("sha256").update(name.toWellFormed()).digest("hex").slice(0, 10);
  const extension = extensionOf(cleaned);
  const stem = cleaned.slice(0, cleaned.length - extension.length).replace(/^[._ ]+/, "") || "file";
  return `${cutToBytes(stem, LONGEST_BYTES - LONGEST_EXTENSION_BYTES - mark.length - 1)}-${mark}${extension}`;
}

function clean(name: string): string {
  return name
    .toWellFormed()
    .normalize("NFC")
    .replace(UNSAFE, "_")
    .replace(/\.{2,}/g, ".")
    .replace(/^[. ]+|[. ]+$/g, "");
}

function extensionOf(name: string): string {
  const extension = /.(\.[A-Za-z0-9]+)$/.exec(name)?.[1] ?? "";
  return extension.length <= LONGEST_EXTENSION_BYTES ? extension : "";
}

/** Cuts between characters, never inside one. */
function cutToBytes(text: string, most: number): string {
  let cut = "";
  let sizeBytes = 0;
  for (const character of text) {
    sizeBytes += Buffer.byteLength(character);
    if (sizeBytes > most) break;
    cut += character;
  }
  return cut;
}
