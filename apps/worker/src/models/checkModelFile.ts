import type { FileHandle } from "node:fs/promises";
import { JobError } from "../jobError.ts";
import { ggufFault } from "./gguf.ts";
import { lengthFault, safetensorsFault } from "./safetensors.ts";

/** So many bytes are needed to say what a file is not. */
export const BEGINNING_BYTES = 24;

/** What is wrong with the first bytes of a model, in words: a page of HTML says so long before its end. */
export function beginningFault(bytes: Buffer, extension: string): string | undefined {
  const text = bytes.toString("latin1").trimStart().toLowerCase();
  if (text.startsWith("<!doctype") || text.startsWith("<html") || text.startsWith("<?xml"))
    return "is a web page and no model; the address may ask for a login, or for a token";
  if (text.startsWith("version https://git-lfs"))
    return "is a pointer of Git LFS and no model; use the address of the file itself";
  if (extension === ".gguf") return undefined;
  const isPickle = text.startsWith("pk\x03\x04") || bytes[0] === 0x80; // a zip, or what torch.save wrote of old
  if (!isSafetensors(extension))
    return isPickle ? undefined : `is neither a zip nor a pickle, as PyTorch writes ${extension}`;
  const fault = lengthFault(bytes);
  return fault && isPickle ? `is a PyTorch pickle, which can run code, under the name of ${extension}` : fault;
}

function isSafetensors(extension: string): boolean {
  return extension === ".safetensors" || extension === ".sft";
}

/**
 * Looks whether a whole file is what its name says, before anybody can load it.
 * @param label as the customer wrote it
 * @throws JobError `model_rejected`
 */
export async function checkModelFile(file: FileHandle, extension: string, label: string): Promise<void> {
  const { size } = await file.stat();
  const beginning = Buffer.alloc(Math.min(size, BEGINNING_BYTES));
  await file.read(beginning, 0, beginning.length, 0);
  const fault = beginningFault(beginning, extension) ?? (await formatFault(file, size, extension));
  if (fault !== undefined) throw rejectedModel(label, fault);
}

async function formatFault(file: FileHandle, sizeBytes: number, extension: string): Promise<string | undefined> {
  if (isSafetensors(extension)) return safetensorsFault(file, sizeBytes);
  return extension === ".gguf" ? ggufFault(file, sizeBytes) : undefined;
}

/** What came is no model of that kind. @param fault begins with a verb */
export function rejectedModel(label: string, fault: string): JobError {
  return new JobError("model_rejected", `Model ${label} was not installed: what its source sent ${fault}`);
}
