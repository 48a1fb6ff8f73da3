import { safeKeySegment } from "@comfyq/storage";

interface Prefixes {
  readonly nodeId: string;
  /** As the job that rendered the file had it; undefined for a node without one. */
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/**
 * Pure: the name of a copied file as the job it is copied for would have called it. A name that does not begin with the old
 * prefix (it held %date%, or was chosen otherwise) stays.
 */
export function renameOutput(name: string, { nodeId, from, to }: Prefixes): string {
  if (from === undefined || to === undefined || from === to) return name;
  const before = stemOf(from);
  // A name that two nodes chose begins with the node's id.
  const lead = ["", `${safeKeySegment(nodeId)}-`].find((start) => name.startsWith(`${start}${before}`));
  if (lead === undefined || before === "") return name;
  return safeKeySegment(`${lead}${stemOf(to)}${name.slice(lead.length + before.length)}`);
}

/** As the worker makes names of folders and files. */
function stemOf(prefix: string): string {
  return prefix
    .split(/[\\/]/)
    .filter((part) => part !== "")
    .map(safeKeySegment)
    .join("-");
}
