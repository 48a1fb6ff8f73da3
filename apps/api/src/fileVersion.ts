import { stat } from "node:fs/promises";

/** Changes whenever the file does: two writes within one millisecond mostly differ in size or inode. "" when there is none. */
export async function fileVersion(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs}/${size}/${ino}`;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}
