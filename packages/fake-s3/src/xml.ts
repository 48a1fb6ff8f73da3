/** What `renderXml` takes: text, a tree, or several elements of one name. */
type XmlValue = string | number | boolean | undefined | XmlTree | readonly XmlValue[];
export interface XmlTree {
  readonly [name: string]: XmlValue;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\r": "&#13;",
};
const UNESCAPES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** Writes one XML document; `undefined` leaves an element out, an array repeats it. */
export function renderXml(root: string, tree: XmlTree): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${renderElement(root, tree)}`;
}

function renderElement(name: string, value: XmlValue): string {
  if (value === undefined) return "";
  if (isList(value)) return value.map((each) => renderElement(name, each)).join("");
  return `<${name}>${typeof value === "object" ? renderChildren(value) : escapeText(String(value))}</${name}>`;
}

function renderChildren(tree: XmlTree): string {
  return Object.entries(tree)
    .map(([name, value]) => renderElement(name, value))
    .join("");
}

function isList(value: XmlValue): value is readonly XmlValue[] {
  return Array.isArray(value);
}

function escapeText(text: string): string {
  return text.replace(/[&<>"\r]/g, (character) => ESCAPES[character] ?? character);
}

/** The inner text of every element called `name`, in order. Enough for the two documents a client of S3 sends. */
export function findElements(xml: string, name: string): readonly string[] {
  return [...xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>([\\s\\S]*?)</${name}>`, "g"))].map(
    (match) => match[1] ?? "",
  );
}

/** The unescaped text of the first element called `name`, or `undefined`. */
export function findText(xml: string, name: string): string | undefined {
  const inner = findElements(xml, name)[0];
  return inner?.replace(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (whole, hex?: string, decimal?: string, named?: string) => {
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
      if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
      return UNESCAPES[named ?? ""] ?? whole;
    },
  );
}
