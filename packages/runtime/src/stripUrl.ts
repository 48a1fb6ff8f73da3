/**
 * A URL (or a path) as it may be shown: without user and password, without query values (their names stay, `?sig=*`)
 * and without fragment. Works on text, never throws; a `data:` URL keeps only its type.
 */
export function stripUrl(url: string): string {
  if (/^data:/i.test(url)) return `${/^data:[^,]{0,60}/i.exec(url)?.[0] ?? "data:"},*`;
  const [address, query] = splitAt(withoutUserinfo(url).split("#", 1)[0] ?? "", "?");
  if (query === undefined) return address;
  const names = query.split("&").map((pair) => (pair.includes("=") ? `${splitAt(pair, "=")[0]}=*` : "*"));
  return `${address}?${names.join("&")}`;
}

function withoutUserinfo(url: string): string {
  // A password with a raw "/", "?" or "#" does not parse; then all up to the last "@" goes, not half a password.
  return URL.canParse(url)
    ? url.replace(/^([a-z][a-z0-9+.-]*:[/\\]*)[^/\\?#]*@/i, "$1")
    : url.replace(/^([a-z][a-z0-9+.-]*:\/\/).*@/i, "$1");
}

function splitAt(text: string, mark: string): readonly [string, string?] {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + mark.length)];
}

/** The text with every URL in it stripped: for messages and stacks that others wrote. */
export function stripUrlsIn(text: string): string {
  return text.replace(/\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s"'<>`]+/gi, (url) => stripUrl(url));
}
