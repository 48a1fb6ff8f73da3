import type { Output } from "@comfyq/contract";

/** Longest name that every file system takes, less some bytes for " (12)". */
const LONGEST_BYTES = 240;
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/**
 * A name for a file of a job in the caller's folder. Names come from workflows, and those from strangers: no folders, no
 * leading dot, nothing that a terminal or a file system understands as more than a name (reference/security.md, traversal).
 */
export function outputFileName(name: string): string {
  const last = name.normalize("NFC").replaceAll("\\", "/").split("/").at(-1) ?? "";
  const plain = last
    .replaceAll(/[\p{Cc}\p{Cf}\p{Cs}<>:"|?*]/gu, "_")
    .replace(/^[. ]+/, "")
    .replace(/[. ]+$/, "");
  const safe = RESERVED.test(plain) ? `_${plain}` : plain;
  return shorten(safe === "" ? "output" : safe);
}

function shorten(name: string): string {
  const dot = name.lastIndexOf(".");
  const ending = dot > 0 && name.length - dot <= 16 ? name.slice(dot) : "";
  let stem = name.slice(0, name.length - ending.length);
  while (Buffer.byteLength(stem + ending) > LONGEST_BYTES) stem = Array.from(stem).slice(0, -1).join("");
  return stem + ending;
}

/** The `count`th name for a file whose name is taken: `a.png`, `a (2).png`, `a (3).png`. */
export function numberedName(name: string, count: number): string {
  if (count === 1) return name;
  const dot = name.lastIndexOf(".");
  return dot > 0 ? `${name.slice(0, dot)} (${count})${name.slice(dot)}` : `${name} (${count})`;
}

/** A value as a file: text as it is, everything else as JSON. */
export function valueFile(output: Output): { readonly name: string; readonly content: string } {
  const stem = outputFileName(`${output.node_id}-${output.name}`);
  if (typeof output.value === "string") return { name: `${stem}.txt`, content: output.value };
  return { name: `${stem}.json`, content: `${JSON.stringify(output.value, null, 2)}\n` };
}
