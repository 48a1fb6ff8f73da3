import { extname } from "node:path";
import type { MeasuredFile } from "../../objects/readUpload.ts";

/**
 * An upload named by its bytes, as Comfy Cloud names it: the name can be used in any graph, by any number of clients at once, and no two
 * files ever meet under one.
 */
export function contentNameOf({ sha256, name }: Pick<MeasuredFile, "sha256" | "name">): string {
  const extension = extname(name);
  return sha256 + (/^\.[a-z0-9]{1,10}$/i.test(extension) ? extension : "");
}

/** The sha256 in such a name, whatever folder is before it; undefined for any other name. */
export function sha256InName(path: string): string | undefined {
  return /(?:^|\/)([0-9a-f]{64})(?:\.[a-z0-9]{1,10})?$/i.exec(path)?.[1]?.toLowerCase();
}
