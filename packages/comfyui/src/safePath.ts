import { ComfyError } from "./errors.ts";

/**
 * Names come from customers and from nodes. Servers before 0.27 did not contain them (GHSA-779p-m5rp-r4h4), so what
 * would leave its folder is refused here.
 * @throws ComfyError `unsafe_path`
 */
export function checkName(name: string): void {
  if (name === "" || name === "." || name === ".." || /[/\\\0]/.test(name)) throw unsafe(name, "is no plain file name");
  // ComfyUI takes such an ending as the folder to look in (folder_paths.py annotated_filepath).
  if (/ \[(output|input|temp)\]$/.test(name)) throw unsafe(name, "ends in a folder annotation");
}

/** @throws ComfyError `unsafe_path` */
export function checkFolder(subfolder: string): void {
  const isRooted = /^([/\\]|[a-z]:)/i.test(subfolder);
  if (isRooted || subfolder.includes("\0") || subfolder.split(/[/\\]/).includes(".."))
    throw unsafe(subfolder, "leaves its folder");
}

function unsafe(path: string, why: string): ComfyError {
  return new ComfyError(
    "unsafe_path",
    `The path ${JSON.stringify(path.slice(0, 200))} ${why}; it is not sent to ComfyUI.`,
  );
}
