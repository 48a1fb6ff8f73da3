/** What stands in a log line where a secret stood. */
export const HIDDEN = "[hidden]";

/** Shorter values are not hidden: replacing every "on" or "42" would make the log unreadable and protect nothing. */
const SHORTEST_HIDDEN_VALUE = 6;

// Process-wide on purpose: a secret must be hidden from every logger, also from those made before it was known.
const hidden = new Map<string, { readonly forms: readonly string[]; holders: number }>();

/**
 * Hides a secret from every later log line of this process, also inside URLs, messages and stacks.
 * Values shorter than 6 characters are left alone. Safe to repeat.
 * @returns forgets it again (once nobody else holds it), for secrets that live as long as one job
 */
export function hideValue(secret: string): () => void {
  if (secret.length < SHORTEST_HIDDEN_VALUE) return () => undefined;
  const entry = hidden.get(secret) ?? { forms: formsOf(secret), holders: 0 };
  entry.holders += 1;
  hidden.set(secret, entry);
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    entry.holders -= 1;
    if (entry.holders === 0) hidden.delete(secret);
  };
}

/** The ways one secret may be written: as it is, inside JSON, inside a URL, and as `base64` of a header or a file. */
function formsOf(secret: string): readonly string[] {
  const inJson = JSON.stringify(secret).slice(1, -1);
  const inUrl = encodeURIComponent(secret.toWellFormed());
  const inBase64 = Buffer.from(secret).toString("base64").replace(/=+$/, "");
  // Longest first: a form may contain another.
  return [...new Set([secret, inJson, inUrl, inBase64])].sort((a, b) => b.length - a.length);
}

/** Whether the text contains any hidden value, in any of its forms. */
export function hasHiddenValue(text: string): boolean {
  for (const { forms } of hidden.values()) if (forms.some((form) => text.includes(form))) return true;
  return false;
}

/** The text with every hidden value replaced by `[hidden]`. */
export function withoutHiddenValues(text: string): string {
  let clean = text;
  for (const { forms } of hidden.values()) for (const form of forms) clean = clean.replaceAll(form, HIDDEN);
  return clean;
}
