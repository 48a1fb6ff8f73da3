/** What bytes are, by their beginning. */
export interface Sniffed {
  readonly kind: "image" | "video" | "audio" | "archive" | "page" | "document";
  /** As it is named to people: PNG, an HTML page. */
  readonly name: string;
}

/** So many bytes of the beginning are enough. */
export const SNIFF_BYTES = 512;

interface Signature extends Sniffed {
  readonly at?: number;
  readonly bytes: string;
  /** More, further on: RIFF and ftyp files say there what they are. */
  readonly and?: { readonly at: number; readonly bytes: string };
}

/** Latin-1, so that a byte is a character. Source: the formats' own specifications; WHATWG MIME Sniffing §6. */
const SIGNATURES: readonly Signature[] = [
  { kind: "image", name: "PNG", bytes: "\x89PNG\r\n\x1a\n" },
  { kind: "image", name: "JPEG", bytes: "\xff\xd8\xff" },
  { kind: "image", name: "GIF", bytes: "GIF8" },
  { kind: "image", name: "WebP", bytes: "RIFF", and: { at: 8, bytes: "WEBP" } },
  { kind: "image", name: "TIFF", bytes: "II*\0" },
  { kind: "image", name: "TIFF", bytes: "MM\0*" },
  { kind: "image", name: "TIFF", bytes: "II+\0" },
  { kind: "image", name: "TIFF", bytes: "MM\0+" },
  ...["avif", "avis", "heic", "heix", "heim", "heis", "mif1", "msf1"].map(
    (brand): Signature => ({ kind: "image", name: "AVIF", at: 4, bytes: "ftyp", and: { at: 8, bytes: brand } }),
  ),
  { kind: "image", name: "Photoshop", bytes: "8BPS" },
  { kind: "image", name: "JPEG 2000", bytes: "\0\0\0\x0cjP  " },
  { kind: "image", name: "OpenEXR", bytes: "\x76\x2f\x31\x01" },
  { kind: "image", name: "icon", bytes: "\0\0\x01\0" },
  { kind: "video", name: "MP4", at: 4, bytes: "ftyp" },
  { kind: "video", name: "WebM", bytes: "\x1a\x45\xdf\xa3" },
  { kind: "video", name: "AVI", bytes: "RIFF", and: { at: 8, bytes: "AVI " } },
  { kind: "audio", name: "WAV", bytes: "RIFF", and: { at: 8, bytes: "WAVE" } },
  { kind: "audio", name: "FLAC", bytes: "fLaC" },
  { kind: "audio", name: "Ogg", bytes: "OggS" },
  { kind: "audio", name: "MP3", bytes: "ID3" },
  { kind: "archive", name: "a zip archive", bytes: "PK\x03\x04" },
  { kind: "archive", name: "an empty zip archive", bytes: "PK\x05\x06" },
  { kind: "archive", name: "a gzip archive", bytes: "\x1f\x8b" },
  { kind: "archive", name: "a 7z archive", bytes: "7z\xbc\xaf\x27\x1c" },
  { kind: "archive", name: "a rar archive", bytes: "Rar!\x1a\x07" },
  { kind: "archive", name: "an xz archive", bytes: "\xfd7zXZ\0" },
  { kind: "archive", name: "a bzip2 archive", bytes: "BZh" },
  { kind: "archive", name: "a zstd archive", bytes: "\x28\xb5\x2f\xfd" },
  { kind: "archive", name: "a tar archive", at: 257, bytes: "ustar" },
  { kind: "document", name: "a PDF", bytes: "%PDF-" },
];

/** What the bytes are; undefined when their beginning does not tell. */
export function sniff(beginning: Buffer): Sniffed | undefined {
  const text = beginning.toString("latin1");
  const found = SIGNATURES.find(
    ({ at = 0, bytes, and }) => text.startsWith(bytes, at) && (!and || text.startsWith(and.bytes, and.at)),
  );
  if (found) return { kind: found.kind, name: found.name };
  if (isBmp(beginning)) return { kind: "image", name: "BMP" };
  return sniffText(text);
}

/** Two letters alone are too common: the size of its header must be one there is. */
function isBmp(bytes: Buffer): boolean {
  if (bytes.toString("latin1", 0, 2) !== "BM" || bytes.length < 26) return false;
  return [12, 16, 40, 52, 56, 64, 108, 124].includes(bytes.readUInt32LE(14));
}

/** In UTF-8, read as Latin-1. */
const BYTE_ORDER_MARK = /^\u00ef\u00bb\u00bf/;
const HTML = /^(?:<!--.*?-->\s*)?<(?:!doctype html|html|head|body|script|title)\b/s;
/** What S3 and its like say instead of a file. */
const XML_ERROR = /^(?:<\?xml[^>]*>\s*)?<error\b/;

function sniffText(text: string): Sniffed | undefined {
  const start = text.replace(BYTE_ORDER_MARK, "").trimStart().slice(0, 200).toLowerCase();
  if (HTML.test(start)) return { kind: "page", name: "an HTML page" };
  if (XML_ERROR.test(start)) return { kind: "page", name: "an error in XML" };
  if (start.startsWith("<svg")) return { kind: "document", name: "an SVG" };
  if (start.startsWith("<?xml")) return { kind: "document", name: "an XML document" };
  if (/^[{[]\s*["{}[\]]/.test(start)) return { kind: "document", name: "JSON" };
  return undefined;
}
