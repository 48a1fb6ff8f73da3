/**
 * What a receiver asks for with Retry-After, in ms from now: seconds, or a date (RFC 9110 §10.2.3).
 * @returns undefined for what is neither, or lies in the past
 */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const afterMs = /^\d{1,9}$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - nowMs;
  return afterMs > 0 ? afterMs : undefined;
}
