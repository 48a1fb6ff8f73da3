import { createHash } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { isObject, PythonError, pythonStr } from "@comfyq/comfyui/wire";
import { FILE_TYPES, type Folders, isInside, splitAnnotation } from "../../files/Folders.ts";
import { decodePng } from "../../pictures/decodePng.ts";
import { encodePng } from "../../pictures/encodePng.ts";
import { readPicture } from "../../pictures/readPicture.ts";
import { withAlphaOf } from "../../pictures/transform.ts";
import type { Simulation } from "../../Simulation.ts";
import type { ApiRequest } from "../ApiRequest.ts";
import { empty, internalError, json, type Reply } from "../Reply.ts";
import type { Route } from "../Router.ts";
import { type Form, type FormFile, readForm } from "../readForm.ts";

/** `POST /upload/image` and `/upload/mask` (server.py image_upload; reference/comfyui-protocol.md §1.5). */
export const UPLOAD_ROUTES: readonly Route[] = [
  {
    method: "POST",
    path: "/upload/image",
    handle: (request, simulation) =>
      upload(request, simulation, async (path, file) => {
        await writeFile(path, file.content);
      }),
  },
  { method: "POST", path: "/upload/mask", handle: (request, simulation) => upload(request, simulation, saveMask) },
];

/** Writes an uploaded file to the path that was found for it. */
type Save = (
  path: string,
  file: FormFile,
  context: { readonly form: Form; readonly folders: Folders },
) => Promise<void>;

async function upload(request: ApiRequest, { parts }: Simulation, save: Save): Promise<Reply> {
  const form = await readForm(request);
  if (parts.faults.strike("upload_fail")) return internalError();
  const wanted = form.fields.get("type") ?? "input";
  const type = FILE_TYPES.find((known) => known === wanted);
  if (!type || form.fields.has("image")) throw new PythonError("UnboundLocalError", "cannot access local variable");
  const file = form.files.get("image");
  if (!file || file.filename === "") return empty(400);
  const subfolder = form.fields.get("subfolder") ?? "";
  const root = parts.folders.pathOf(type);
  const folder = join(root, normalize(subfolder));
  if (!isInside(root, join(folder, file.filename))) return empty(400);
  mkdirSync(folder, { recursive: true });
  const place = await placeFor(folder, file, isOverwrite(form));
  if (!place.isDuplicate) await save(join(folder, place.name), file, { form, folders: parts.folders });
  parts.stats.uploaded(file.content.length);
  return json({ name: place.name, subfolder, type });
}

const isOverwrite = ({ fields }: Form): boolean => ["true", "1"].includes(fields.get("overwrite") ?? "");

/** The name itself, or the first ` (n)` that is free or holds the same bytes already. */
async function placeFor(
  folder: string,
  file: FormFile,
  isOverwrite: boolean,
): Promise<{ name: string; isDuplicate: boolean }> {
  const extension = extname(file.filename);
  const stem = file.filename.slice(0, file.filename.length - extension.length);
  const wanted = hashOf(file.content);
  let name = file.filename;
  for (let count = 1; !isOverwrite && existsSync(join(folder, name)); count++) {
    if (hashOf(await readFile(join(folder, name))) === wanted) return { name, isDuplicate: true };
    name = `${stem} (${count})${extension}`;
  }
  return { name, isDuplicate: false };
}

const hashOf = (content: Buffer): string => createHash("sha256").update(content).digest("hex");

/** The original with the mask's alpha. Nothing is written when the original is not there, and nobody is told. */
const saveMask: Save = async (path, file, { form, folders }) => {
  const reference: unknown = JSON.parse(form.fields.get("original_ref") ?? "");
  if (!isObject(reference) || typeof reference["filename"] !== "string") {
    throw new PythonError("KeyError", "'filename'");
  }
  const { bare, type } = splitAnnotation(reference["filename"]);
  const root = type ?? FILE_TYPES.find((known) => known === (reference["type"] ?? "output"));
  if (bare === "" || bare.startsWith("/") || bare.includes("..") || !root) return;
  const folder = join(folders.pathOf(root), pythonStr(reference["subfolder"] ?? ""));
  const original = join(folder, bare);
  if (!isInside(folders.pathOf(root), folder) || !existsSync(original)) return;
  const content = await readFile(original);
  const picture = readPicture(content, bare);
  const mask = readPicture(file.content, file.filename);
  if (!picture || !mask) throw new PythonError("PIL.UnidentifiedImageError", "cannot identify image file");
  await writeFile(path, await encodePng(withAlphaOf(picture, mask), { text: textOf(content) }));
};

function textOf(content: Buffer): ReadonlyMap<string, string> {
  try {
    return decodePng(content).text;
  } catch {
    return new Map(); // not a PNG file, or one of a kind that is not read here
  }
}
