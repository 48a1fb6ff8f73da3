/**
 * JSON with the keys of every object in one order, so that the same body has the same hash however a client wrote it.
 * For values that came out of `parseJson`: their depth is limited. By hand, since JSON.stringify with a replacer takes
 * three times as long, and every submission passes here.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, inner]) => `${JSON.stringify(name)}:${canonicalJson(inner)}`).join(",")}}`;
}
