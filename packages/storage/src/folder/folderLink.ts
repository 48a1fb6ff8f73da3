import { createHmac, timingSafeEqual } from "node:crypto";
import { checkKey } from "../checkKey.ts";
import { safeContentType } from "../contentTypeOf.ts";

/** A link to a file, as it is asked about. */
export interface FolderLinkClaim {
  /** The key: what follows the link base in the decoded path. */
  readonly key: string;
  /** The decoded query: Express's `request.query`, or `Object.fromEntries(url.searchParams)`. */
  readonly query: Readonly<Record<string, unknown>>;
  readonly secret: string;
  readonly nowMs: number;
}

/** What to do with a link. `downloadName` and `contentType` are what it was signed with. */
export type FolderLinkVerdict =
  | { readonly valid: true; readonly downloadName: string; readonly contentType?: string }
  | { readonly valid: false; readonly reason: "malformed" | "signature" | "expired" };

/** What a link says and what its signature covers. */
export interface FolderLinkTerms {
  readonly key: string;
  /** Unix seconds. */
  readonly expires: number;
  readonly downloadName: string;
  /** "" for the stored one. */
  readonly contentType: string;
}

/** The link to a file: `<base>/<key>?expires=…&name=…[&type=…]&signature=…` */
export function signFolderLink(base: string, secret: string, terms: FolderLinkTerms): string {
  const query = new URLSearchParams({
    expires: String(terms.expires),
    name: terms.downloadName,
    ...(terms.contentType !== "" && { type: terms.contentType }),
    signature: sign(secret, terms).toString("base64url"),
  });
  const path = terms.key.split("/").map(encodeURIComponent).join("/");
  return `${base.replace(/\/+$/, "")}/${path}?${query.toString()}`;
}

/**
 * Decides about a link made by `signFolderLink`: unchanged in every part, signed with this secret, and not expired.
 * Answer it with `attachmentHeader(downloadName)` and `contentType`, or the stored type when there is none.
 */
export function verifyFolderLink({ key, query, secret, nowMs }: FolderLinkClaim): FolderLinkVerdict {
  const { expires, name, type = "", signature } = query;
  const texts = [expires, name, type, signature];
  if (!texts.every((text) => typeof text === "string") || !/^\d{1,12}$/.test(String(expires)) || !isKey(key)) {
    return { valid: false, reason: "malformed" };
  }
  const terms = { key, expires: Number(expires), downloadName: String(name), contentType: String(type) };
  const [wanted, given] = [sign(secret, terms), Buffer.from(String(signature), "base64url")];
  if (wanted.length !== given.length || !timingSafeEqual(wanted, given)) return { valid: false, reason: "signature" };
  if (nowMs >= terms.expires * 1000) return { valid: false, reason: "expired" };
  const contentType = safeContentType(terms.contentType);
  return { valid: true, downloadName: terms.downloadName, ...(type !== "" && { contentType }) };
}

/** HMAC-SHA256. The first word keeps this secret's other uses, if any, from ever giving a link. */
function sign(secret: string, { key, expires, downloadName, contentType }: FolderLinkTerms): Buffer {
  const text = JSON.stringify(["comfyq-folder-link-1", key, expires, downloadName, contentType]);
  return createHmac("sha256", secret).update(text).digest();
}

function isKey(key: string): boolean {
  try {
    return checkKey(key) === key;
  } catch {
    return false;
  }
}
