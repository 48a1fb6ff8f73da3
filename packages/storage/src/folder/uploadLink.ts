import { createHmac, timingSafeEqual } from "node:crypto";
import { checkKey } from "../checkKey.ts";

/** What a link for an upload says, and what its signature covers. */
interface UploadTerms {
  readonly key: string;
  /** Unix seconds. */
  readonly expires: number;
  readonly sizeBytes: number;
}

/** A request to store something by a link. */
export interface FolderUploadClaim {
  /** What follows the base of the link in the decoded path. */
  readonly key: string;
  readonly query: Readonly<Record<string, unknown>>;
  readonly secret: string;
  readonly nowMs: number;
}

export type FolderUploadVerdict =
  | { readonly valid: true; readonly sizeBytes: number }
  | { readonly valid: false; readonly reason: "malformed" | "signature" | "expired" };

/** The link that stores one object of exactly this size: `<base>/<key>?expires=…&size=…&signature=…` */
export function signFolderUpload(base: string, secret: string, terms: UploadTerms): string {
  const query = new URLSearchParams({
    expires: String(terms.expires),
    size: String(terms.sizeBytes),
    signature: sign(secret, terms).toString("base64url"),
  });
  const path = terms.key.split("/").map(encodeURIComponent).join("/");
  return `${base.replace(/\/+$/, "")}/${path}?${query.toString()}`;
}

/** Decides about a link made by `signFolderUpload`: unchanged in every part, signed with this secret, and not expired. */
export function verifyFolderUpload({ key, query, secret, nowMs }: FolderUploadClaim): FolderUploadVerdict {
  const { expires, size, signature } = query;
  const isWritten = /^\d{1,12}$/.test(String(expires)) && /^\d{1,15}$/.test(String(size));
  if (!isWritten || typeof signature !== "string" || !isKey(key)) return { valid: false, reason: "malformed" };
  const terms = { key, expires: Number(expires), sizeBytes: Number(size) };
  const [wanted, given] = [sign(secret, terms), Buffer.from(signature, "base64url")];
  if (wanted.length !== given.length || !timingSafeEqual(wanted, given)) return { valid: false, reason: "signature" };
  if (nowMs >= terms.expires * 1000) return { valid: false, reason: "expired" };
  return { valid: true, sizeBytes: terms.sizeBytes };
}

/** HMAC-SHA256. The first word keeps a link to read from ever being one to write. */
function sign(secret: string, { key, expires, sizeBytes }: UploadTerms): Buffer {
  const text = JSON.stringify(["comfyq-folder-upload-1", key, expires, sizeBytes]);
  return createHmac("sha256", secret).update(text).digest();
}

function isKey(key: string): boolean {
  try {
    return checkKey(key) === key;
  } catch {
    return false;
  }
}
