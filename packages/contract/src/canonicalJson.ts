/** What JSON writes with a backslash, and pairs of surrogates, which are rare enough. */
const ESCAPED = /["\\]|[^ -\ud7ff\ue000-\uffff]/;

/**
 * JSON with the keys of every object in one order, so that the same body has the same hash however a client wrote it.
 * For values that came out of `parseJson`: their depth is limited. By hand, since JSON.stringify with a replacer takes
 * several times as long, and every submission passes here.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === "string") return quotedText(value);
  if (typeof value !== "object" || value === null) return String(value);
  return Array.isArray(value) ? listed(value) : sortedFields(value as Readonly<Record<string, unknown>>);
}

function quotedText(text: string): string {
  return ESCAPED.test(text) ? JSON.stringify(text) : `"${text}"`;
}

function listed(values: readonly unknown[]): string {
  let text = "[";
  for (const [at, value] of values.entries()) text += at === 0 ? canonicalJson(value) : `,${canonicalJson(value)}`;
  return `${text}]`;
}

function sortedFields(object: Readonly<Record<string, unknown>>): string {
  let text = "{";
  for (const key of Object.keys(object).sort())
    text += `${text === "{" ? "" : ","}${quotedText(key)}:${canonicalJson(object[key])}`;
  return `${text}}`;
}
