import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { basename, extname, join, normalize, resolve, sep } from "node:path";
import { PythonError, pythonRepr } from "@comfyq/comfyui/wire";
import { LEGACY_KINDS, MODEL_EXTENSIONS, MODEL_KINDS } from "./bundledModels.ts";

/** The three kinds of folder that files are served from. `temp` is wiped when ComfyUI starts. */
export const FILE_TYPES = ["output", "input", "temp"] as const;
export type FileType = (typeof FILE_TYPES)[number];

/** Settings of {@link Folders}. */
export interface FoldersOptions {
  /** The folder that holds `input`, `output`, `temp`, `models` and `user`. */
  readonly base: string;
  /** The folder of models, where it is not `models` in the base. */
  readonly models: string | undefined;
  /** Model names that are listed although there are no files, by kind. */
  readonly bundledModels: Readonly<Record<string, readonly string[]>>;
  /** Whether names of input files must stay inside their folder (0.27.0). */
  readonly containsInputPaths: boolean;
}

/** ComfyUI's folders on disk (folder_paths.py). Everything is read anew each time: a new file is visible at once. */
export class Folders {
  readonly #options: FoldersOptions;
  readonly #hashes = new Map<string, string>();

  /** Creates the folders and wipes `temp`. */
  constructor(options: FoldersOptions) {
    this.#options = options;
    for (const type of FILE_TYPES) mkdirSync(this.pathOf(type), { recursive: true });
    this.wipeTemp();
  }

  get base(): string {
    return this.#options.base;
  }

  pathOf(type: FileType): string {
    return join(this.#options.base, type);
  }

  get #models(): string {
    return this.#options.models ?? join(this.#options.base, "models");
  }

  wipeTemp(): void {
    rmSync(this.pathOf("temp"), { recursive: true, force: true });
    mkdirSync(this.pathOf("temp"), { recursive: true });
  }

  /** Kinds of model folders: the known ones, and whatever else is in `models`. */
  modelKinds(): readonly string[] {
    const found = foldersIn(this.#models).filter((name) => !name.startsWith("."));
    return [...new Set([...MODEL_KINDS, ...Object.keys(this.#options.bundledModels), ...found])];
  }

  /** Names of one kind, sorted, with their sub-folders; undefined when there is no such kind. */
  modelNames(kind: string): readonly string[] | undefined {
    const known = LEGACY_KINDS[kind] ?? kind;
    if (!this.modelKinds().includes(known)) return undefined;
    const found = filesBelow(join(this.#models, known)).filter((name) =>
      MODEL_EXTENSIONS.some((extension) => name.endsWith(extension)),
    );
    return [...new Set([...(this.#options.bundledModels[known] ?? []), ...found])].sort();
  }

  /** Where a model file lies, when it is a real one. */
  modelPath(kind: string, name: string): string | undefined {
    const folder = join(this.#models, LEGACY_KINDS[kind] ?? kind);
    const path = resolve(folder, name);
    return isInside(folder, path) && existsSync(path) ? path : undefined;
  }

  /** Names of the files directly in the input folder, sorted. */
  inputNames(): readonly string[] {
    return readdirSync(this.pathOf("input"), { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name)
      .sort();
  }

  /**
   * Where the file of a widget such as LoadImage's lies. The name may end in ` [output]`, ` [input]` or ` [temp]`.
   * @throws PythonError `ValueError` when the name leaves its folder and the version checks that
   */
  locate(name: string): string {
    const { bare, type } = splitAnnotation(name);
    const folder = this.pathOf(type ?? "input");
    const path = resolve(folder, bare);
    if (this.#options.containsInputPaths && !isInside(folder, existsSync(path) ? realpathSync(path) : path)) {
      throw new PythonError("ValueError", `Invalid file path: ${pythonRepr(bare)}`);
    }
    return path;
  }

  /** SHA-256 of a file's content in hex, computed once for each change of the file; "" when there is no file. */
  hashOf(path: string): string {
    if (!existsSync(path)) return "";
    const { mtimeMs, size } = statSync(path);
    const key = `${path}\n${mtimeMs}\n${size}`;
    const known = this.#hashes.get(key);
    if (known !== undefined) return known;
    const hash = createHash("sha256").update(readFileSync(path)).digest("hex");
    this.#hashes.set(key, hash);
    return hash;
  }
}

/** Splits ` [temp]` and its like off a name (folder_paths.py annotated_filepath: the bracket and one character before). */
export function splitAnnotation(name: string): { bare: string; type?: FileType } {
  const type = FILE_TYPES.find((known) => name.endsWith(`[${known}]`));
  return type ? { bare: name.slice(0, -(type.length + 3)), type } : { bare: name };
}

/** Whether a path is a folder or lies in it. */
export function isInside(folder: string, path: string): boolean {
  const [outer, inner] = [resolve(folder), resolve(path)];
  return inner === outer || inner.startsWith(outer + sep);
}

/** Where a node saves: `name_00001_` in `folder` would be the first. */
export interface SavePlace {
  readonly folder: string;
  readonly subfolder: string;
  readonly name: string;
  readonly counter: number;
}

/**
 * Works out where a prefix leads (folder_paths.py get_save_image_path). The counter is one more than the highest number
 * that the folder has for this prefix now.
 * @throws PythonError when the prefix leaves the folder
 */
export function savePlace(root: string, prefix: string): SavePlace {
  const clean = normalize(prefix);
  const name = basename(clean);
  const subfolder = clean.includes("/") ? clean.slice(0, clean.lastIndexOf("/")) : "";
  const folder = join(root, subfolder);
  if (!isInside(root, folder)) {
    const places = `\n full_output_folder: ${resolve(folder)}\n         output_dir: ${root}`;
    throw new PythonError("Exception", `**** ERROR: Saving image outside the output folder is not allowed.${places}`);
  }
  mkdirSync(folder, { recursive: true });
  let highest = 0;
  for (const file of readdirSync(folder)) {
    if (!file.startsWith(`${name}_`)) continue;
    const digits = /^\d+/.exec(file.slice(name.length + 1))?.[0];
    if (digits) highest = Math.max(highest, Number(digits));
  }
  return { folder, subfolder, name, counter: highest + 1 };
}

function foldersIn(path: string): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

function filesBelow(path: string): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extname(entry.name) !== "")
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1));
}
