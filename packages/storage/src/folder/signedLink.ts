import { createHmac, timingSafeEqual } from "node:crypto";
import { checkKey } from "../checkKey.ts";

/** What a signature covers: a word that keeps one kind of link from ever being another, then all that the link says. */
export type SignedTerms = readonly (string | number)[];

interface LinkParts {
  readonly base: string;
  readonly key: string;
  readonly query: Readonly<Record<string, string>>;
}

/** `<base>/<key>?<query>&signature=…`, signed with HMAC-SHA256 over the terms. */
export function signLink({ base, key, query }: LinkParts, secret: string, terms: SignedTerms): string {
  const signed = new URLSearchParams({ ...query, signature: signatureOf(secret, terms).toString("base64url") });
  const path = key.split("/").map(encodeURIComponent).join("/");
  return `${base.replace(/\/+$/, "")}/${path}?${signed.toString()}`;
}

/** Why a link must not be obeyed. */
export type LinkFault = "malformed" | "signature" | "expired";

interface SignedClaim {
  readonly signature: string;
  readonly secret: string;
  /** Unix seconds. */
  readonly expires: number;
  readonly nowMs: number;
}

/** The signature first: nothing is told of a link that was not made here. @returns undefined for a link that holds */
export function faultOfLink(claim: SignedClaim, terms: SignedTerms): LinkFault | undefined {
  const [wanted, given] = [signatureOf(claim.secret, terms), Buffer.from(claim.signature, "base64url")];
  if (wanted.length !== given.length || !timingSafeEqual(wanted, given)) return "signature";
  return claim.nowMs >= claim.expires * 1000 ? "expired" : undefined;
}

/** Is it a key as we write them ourselves? */
export function isKey(key: string): boolean {
  try {
    return checkKey(key) === key;
  } catch {
    return false;
  }
}

function signatureOf(secret: string, terms: SignedTerms): Buffer {
  return createHmac("sha256", secret).update(JSON.stringify(terms)).digest();
}
