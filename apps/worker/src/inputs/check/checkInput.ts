import { JobError } from "../../jobError.ts";
import { byteWindow, type ReadAt } from "./byteWindow.ts";
import { imageExtent, MEASURED_FORMATS } from "./imageExtent.ts";
import { SNIFF_BYTES, type Sniffed, sniff } from "./sniff.ts";

/** What an input is for, as far as the node that loads it tells. */
export type Expected = "image" | "anything";

interface CheckedFile {
  readonly sizeBytes: number;
  readonly read: ReadAt;
}

interface CheckOptions {
  readonly label: string;
  /** The source as it may be shown. */
  readonly shown: string;
  readonly expected: Expected;
  /** With its dot, by the source's name. */
  readonly extension: string;
  readonly maxPixels: number;
}

/** Extensions of files that may well be pages. */
const PAGE_EXTENSIONS = [".html", ".htm", ".xhtml", ".xml", ".svg", ".txt", ".md"];

/**
 * Looks at what came, before ComfyUI does: nothing is unpacked, only beginnings and headers are read.
 * @throws JobError `input_unavailable` when it is plainly not what is wanted; `input_too_large` for an image whose pixels would
 * fill the instance's memory
 */
export async function checkInput({ sizeBytes, read }: CheckedFile, options: CheckOptions): Promise<void> {
  const { label, shown, expected, extension } = options;
  const found = sniff(await read(0, SNIFF_BYTES));
  if (sizeBytes === 0) throw unfit(label, `${shown} gave no bytes at all; is it the right address?`);
  const measured = measuredOf(found);
  if (expected === "image" && !measured)
    throw unfit(
      label,
      `${shown} gave ${found?.name ?? "something"} that is no image of a kind that is taken: ${listed()}`,
    );
  if (found?.kind === "page" && !PAGE_EXTENSIONS.includes(extension))
    throw unfit(label, `${shown} gave ${found.name} instead of a file; it may be an error, or ask for a login`);
  if (measured) await checkPixels(measured, { sizeBytes, read: byteWindow(read) }, options);
}

/** The image's format, when we can say how large such images are. */
function measuredOf(found: Sniffed | undefined): string | undefined {
  return found?.kind === "image" && MEASURED_FORMATS.includes(found.name) ? found.name : undefined;
}

async function checkPixels(format: string, { read, sizeBytes }: CheckedFile, options: CheckOptions): Promise<void> {
  const { label, expected, maxPixels } = options;
  const extent = await imageExtent(format, read, sizeBytes);
  if (!extent) {
    if (expected === "image") throw unfit(label, `the ${format} is broken: its header does not say how large it is`);
    return;
  }
  const { width, height, frames } = extent;
  if (width * height * frames <= maxPixels) return;
  const times = frames === 1 ? "" : ` in ${frames} frames`;
  throw new JobError(
    "input_too_large",
    `Input ${label}: it is a ${format} of ${width} x ${height} pixels${times}, and at most ${maxPixels} pixels in all are taken (COMFYQ_MAX_INPUT_PIXELS)`,
  );
}

function listed(): string {
  return MEASURED_FORMATS.join(", ");
}

function unfit(label: string, why: string): JobError {
  return new JobError("input_unavailable", `Input ${label}: ${why}`);
}
