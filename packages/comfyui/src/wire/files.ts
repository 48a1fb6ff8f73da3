import { z } from "zod";

/** The folder a file lies in. `temp` is wiped when ComfyUI starts. */
export const FileType = z.enum(["output", "input", "temp"]);
export type FileType = z.infer<typeof FileType>;

/** A file entry inside a node's output. `subfolder` may be missing; nodes add keys of their own (§3.4). */
export const FileEntry = z.looseObject({
  filename: z.string().min(1),
  subfolder: z.string().optional(),
  type: FileType,
});
export type FileEntry = z.infer<typeof FileEntry>;

/** Answer of `POST /upload/image` and `/upload/mask`. Use the returned name: the server renames (§1.5). */
export const UploadAnswer = z.looseObject({ name: z.string(), subfolder: z.string().default(""), type: FileType });
export type UploadAnswer = z.infer<typeof UploadAnswer>;
