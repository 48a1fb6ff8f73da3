import { safeContentType } from "../contentTypeOf.ts";
import { faultOfLink, isKey, type LinkFault, type SignedTerms, signLink } from "./signedLink.ts";

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
  | { readonly valid: false; readonly reason: LinkFault };

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
  const query = {
    expires: String(terms.expires),
    name: terms.downloadName,
    ...(terms.contentType !== "" && { type: terms.contentType }),
  };
  return signLink({ base, key: terms.key, query }, secret, signed(terms));
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
  const reason = faultOfLink({ signature: String(signature), secret, expires: terms.expires, nowMs }, signed(terms));
  if (reason !== undefined) return { valid: false, reason };
  const contentType = safeContentType(terms.contentType);
  return { valid: true, downloadName: terms.downloadName, ...(type !== "" && { contentType }) };
}

function signed({ key, expires, downloadName, contentType }: FolderLinkTerms): SignedTerms {
  return ["comfyq-folder-link-1", key, expires, downloadName, contentType];
}
