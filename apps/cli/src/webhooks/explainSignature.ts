import { createHmac, timingSafeEqual } from "node:crypto";

/** A webhook as it arrived, and what it is to be checked with. */
export interface SignedWebhook {
  /** `whsec_…` */
  readonly secret: string;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  /** The bytes as they arrived. */
  readonly body: Buffer;
  readonly nowMs: number;
  /** How old, or how far ahead, a timestamp may be, in seconds. */
  readonly toleranceS: number;
}

/** `bad_input`: nothing could be checked; `not_genuine`: it must be refused. `steps` tells what was looked at, in order. */
export interface Explanation {
  readonly verdict: "genuine" | "not_genuine" | "bad_input";
  readonly steps: readonly string[];
}

/** What Standard Webhooks 1.0 asks of a key. */
const KEY_BYTES = { least: 24, most: 64 } as const;

/** Checks a signature as Standard Webhooks 1.0 says, and where it is wrong finds out which part is. */
export function explainSignature(webhook: SignedWebhook): Explanation {
  const key = keyOf(webhook.secret);
  if (typeof key === "string") return { verdict: "bad_input", steps: [`✗ secret: ${key}`] };
  const steps = [`✓ secret: ${key.length} bytes`];
  const missing = ["webhook-id", "webhook-timestamp", "webhook-signature"].filter((name) => !webhook.headers.get(name));
  if (missing.length > 0) {
    const all = missing.map((name) => `✗ ${name}: missing; give it with --header "${name}: …"`);
    return { verdict: "bad_input", steps: [...steps, ...all] };
  }
  const timestamp = judgeTimestamp(webhook);
  const signature = judgeSignature(webhook, key);
  const isGenuine = timestamp.isFine && signature.isFine;
  return { verdict: isGenuine ? "genuine" : "not_genuine", steps: [...steps, timestamp.words, signature.words] };
}

/** @returns the key, or what is wrong with the secret */
function keyOf(secret: string): Buffer | string {
  if (secret.startsWith("v1,")) return "this is a signature; the secret starts with whsec_";
  if (secret !== secret.trim()) return "there is white space around it";
  if (!secret.startsWith("whsec_")) return "it must start with whsec_, as the API showed it";
  const text = secret.slice("whsec_".length);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text))
    return "what follows whsec_ is no base64; was it cut, or changed by a shell?";
  const key = Buffer.from(text, "base64");
  if (key.length < KEY_BYTES.least || key.length > KEY_BYTES.most)
    return `it holds ${key.length} bytes, not ${KEY_BYTES.least} to ${KEY_BYTES.most}; was it cut?`;
  return key;
}

interface Judged {
  readonly isFine: boolean;
  readonly words: string;
}

function judgeTimestamp({ headers, nowMs, toleranceS }: SignedWebhook): Judged {
  const text = headers.get("webhook-timestamp") ?? "";
  const bad = (why: string): Judged => ({ isFine: false, words: `✗ webhook-timestamp: ${why}` });
  if (!/^\d+$/.test(text)) return bad(`${JSON.stringify(text)} is no number of seconds since 1970`);
  if (text.length >= 13) return bad(`${text} are milliseconds; it must be seconds`);
  const ageS = Math.round(nowMs / 1_000) - Number(text);
  const isWithin = `at most ${span(toleranceS)} are allowed (--tolerance)`;
  if (ageS > toleranceS)
    return bad(`${span(ageS)} old, and ${isWithin}; it was sent again by somebody else, or this clock is ahead`);
  if (-ageS > toleranceS) return bad(`${span(-ageS)} ahead, and ${isWithin}; this clock is behind`);
  return { isFine: true, words: `✓ webhook-timestamp: ${span(Math.abs(ageS))} ${ageS < 0 ? "ahead" : "old"}` };
}

function judgeSignature(webhook: SignedWebhook, key: Buffer): Judged {
  const text = webhook.headers.get("webhook-signature") ?? "";
  const given = text.split(" ").filter((part) => part.startsWith("v1,"));
  const bad = (why: string): Judged => ({ isFine: false, words: `✗ webhook-signature: ${why}` });
  if (given.length === 0) return bad(`none of "${text.slice(0, 60)}" is a v1 signature, which looks like v1,<base64>`);
  const id = webhook.headers.get("webhook-id") ?? "";
  const at = webhook.headers.get("webhook-timestamp") ?? "";
  const fits = (eventId: string, body: Buffer) => given.some((one) => equal(one, sign(key, { id: eventId, at, body })));
  if (fits(id, webhook.body)) return { isFine: true, words: `✓ webhook-signature: right (${nth(given.length)})` };
  const change = CHANGES.find(({ undo }) => undo(webhook.body).some((body) => fits(id, body)));
  if (change) return bad(`the body was changed on its way: ${change.what}; check the very bytes that arrived`);
  const bodyId = idIn(webhook.body);
  if (bodyId !== undefined && bodyId !== id && fits(bodyId, webhook.body))
    return bad(`webhook-id is ${id}, but this is the signature of ${bodyId}, the id in the body`);
  if (bodyId !== undefined && bodyId !== id)
    return bad(
      `it fits neither webhook-id ${id} nor the id in the body, ${bodyId}: headers and body are of two events`,
    );
  return bad(
    "it was made with another secret, or of another body; is it the secret of this endpoint, and not an old one?",
  );
}

function sign(
  key: Buffer,
  { id, at, body }: { readonly id: string; readonly at: string; readonly body: Buffer },
): string {
  return `v1,${createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest("base64")}`;
}

function equal(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** What people's tools do to a body, and how to take it back. */
const CHANGES: readonly { readonly what: string; readonly undo: (body: Buffer) => readonly Buffer[] }[] = [
  {
    what: "a line break was added at its end",
    undo: (body) => [Buffer.from(body.toString().replace(/(\r?\n)+$/, ""))],
  },
  { what: "the line break at its end was lost", undo: (body) => [Buffer.concat([body, Buffer.from("\n")])] },
  {
    what: "a byte order mark was put before it",
    undo: (body) => [Buffer.from(body.toString().replace(/^\uFEFF/, ""))],
  },
  {
    what: "line breaks were turned into CRLF",
    undo: (body) => [Buffer.from(body.toString().replaceAll("\r\n", "\n"))],
  },
  { what: "the JSON was parsed and written again, with other white space", undo: rewritten },
];

/** The same JSON as others may have written it. */
function rewritten(body: Buffer): readonly Buffer[] {
  try {
    const value: unknown = JSON.parse(body.toString());
    return [JSON.stringify(value), JSON.stringify(value, null, 2)].map((text) => Buffer.from(text));
  } catch {
    return [];
  }
}

function idIn(body: Buffer): string | undefined {
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === "object" && value !== null && "id" in value ? String(value.id) : undefined;
  } catch {
    return undefined;
  }
}

function nth(count: number): string {
  return count === 1 ? "the only one given" : `one of the ${count} given, as while a secret is replaced`;
}

function span(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
