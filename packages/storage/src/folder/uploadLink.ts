import { faultOfLink, isKey, type LinkFault, type SignedTerms, signLink } from "./signedLink.ts";

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
  | { readonly valid: false; readonly reason: LinkFault };

/** The link that stores one object of exactly this size: `<base>/<key>?expires=…&size=…&signature=…` */
export function signFolderUpload(base: string, secret: string, terms: UploadTerms): string {
  const query = { expires: String(terms.expires), size: String(terms.sizeBytes) };
  return signLink({ base, key: terms.key, query }, secret, signed(terms));
}

/** Decides about a link made by `signFolderUpload`: unchanged in every part, signed with this secret, and not expired. */
export function verifyFolderUpload({ key, query, secret, nowMs }: FolderUploadClaim): FolderUploadVerdict {
  const { expires, size, signature } = query;
  const isWritten = /^\d{1,12}$/.test(String(expires)) && /^\d{1,15}$/.test(String(size));
  if (!isWritten || typeof signature !== "string" || !isKey(key)) return { valid: false, reason: "malformed" };
  const terms = { key, expires: Number(expires), sizeBytes: Number(size) };
  const reason = faultOfLink({ signature, secret, expires: terms.expires, nowMs }, signed(terms));
  return reason === undefined ? { valid: true, sizeBytes: terms.sizeBytes } : { valid: false, reason };
}

function signed({ key, expires, sizeBytes }: UploadTerms): SignedTerms {
  return ["comfyq-folder-upload-1", key, expires, sizeBytes];
}
