const MARK = "\u0000";

/** JSON as Python writes it: NaN and the infinities stand there bare, which is not JSON. */
export function toJson(value: unknown): string {
  let isStrange = false;
  const written = JSON.stringify(value, (_, entry: unknown) => {
    if (typeof entry !== "number" || Number.isFinite(entry)) return entry;
    isStrange = true;
    return `${MARK}${Number.isNaN(entry) ? "NaN" : entry > 0 ? "Infinity" : "-Infinity"}`;
  });
  return isStrange ? written.replace(/"\\u0000(NaN|-?Infinity)"/g, "$1") : written;
}
