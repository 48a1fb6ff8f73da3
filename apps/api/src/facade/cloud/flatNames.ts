import { extname } from "node:path";
import { FileEntry } from "@comfyq/comfyui/wire";
import { JobId } from "@comfyq/contract";
import { sha256Hex } from "@comfyq/runtime";

/** Characters of the file's own name that are kept: with the rest, a name that every file system takes. */
const MOST_CHARACTERS = 45;

/**
 * A file of a job by one name without folders, as Comfy Cloud has it: its clients ask `/view` for that name alone, and save under it. It
 * says which job the file is of and is made from what ComfyUI called it, so nothing is kept besides the job; names sort as ComfyUI's do.
 * @param path `<type>/<subfolder>/<filename>`, without the folder of the job
 */
export function flatNameOf(jobId: string, path: string): string {
  const filename = path.slice(path.lastIndexOf("/") + 1);
  const extension = extname(filename);
  const stem = filename.slice(0, filename.length - extension.length).replace(/[^\p{L}\p{N}_-]/gu, "_");
  const shown = Array.from(stem).slice(0, MOST_CHARACTERS).join("");
  const type = /^\.[a-z0-9]{1,10}$/i.test(extension) ? extension : "";
  return `${jobId}_${shown}_${sha256Hex(path).slice(0, 12)}${type}`;
}

/** The job that such a name is of; undefined for any other name. */
export function jobOfFlatName(filename: string): string | undefined {
  const [id = "", rest] = filename.split("_", 2);
  return rest !== undefined && JobId.safeParse(id).success ? id : undefined;
}

/** Pure. What was told of a job, with such a name in each of its files; `subfolder` is then the customer's own, and means nothing. */
export function withFlatNames(jobId: string, said: unknown): unknown {
  if (typeof said !== "object" || said === null) return said;
  if (Array.isArray(said)) return said.map((item) => withFlatNames(jobId, item));
  const { data: file } = FileEntry.safeParse(said);
  const [job, ...folders] = file?.subfolder?.split(/[\\/]/) ?? [];
  if (file && job === jobId) {
    const path = [file.type, ...folders, file.filename].join("/");
    return { ...said, filename: flatNameOf(jobId, path), subfolder: folders.join("/") };
  }
  return Object.fromEntries(Object.entries(said).map(([key, value]) => [key, withFlatNames(jobId, value)]));
}
