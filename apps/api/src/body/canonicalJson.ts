/**
 * JSON with the keys of every object in one order, so that the same body has the same hash however a client wrote it.
 * For values that came out of `parseJson`: their depth is limited.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
