/**
 * `Content-Disposition` that makes a browser save the file under this name (RFC 6266, RFC 8187). Control characters,
 * quotes and path separators in the name are replaced.
 */
export function attachmentHeader(name: string): string {
  const clean = name.toWellFormed().replace(/[\p{Cc}"\\/]/gu, "_");
  const ascii = clean.replace(/[^\x20-\x7e]/g, "_");
  if (ascii === clean && !clean.includes("%")) return `attachment; filename="${ascii}"`;
  const encoded = encodeURIComponent(clean).replace(
    /['()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${ascii.replaceAll("%", "_")}"; filename*=UTF-8''${encoded}`;
}
