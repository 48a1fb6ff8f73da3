import type { OutputFile } from "@comfyq/comfyui";
import type { OutputOptions, OutputType } from "@comfyq/contract";
import { safeKeySegment } from "@comfyq/storage";
import { withoutJobFolder } from "./filenamePrefix.ts";

/** A result with the names it may get. All names of a job's files are different. */
export interface NamedFile extends OutputFile {
  readonly name: string;
  /** When it becomes a picture of another format. */
  readonly convertedName?: string;
  readonly thumbnailName?: string;
}

/** How another comfyq, driven as a cloud, names a file: `<job>_<its own name>_<digest>.<extension>`. */
const FLAT = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}_(.+)_[0-9a-f]{12}(\.\w{1,10})?$/;

/** What can be converted: ComfyUI saves still pictures in these. */
const PICTURE = /\.(png|jpe?g|webp)$/i;

/** The customer's own names: our folder is taken off again, and a name that two nodes chose gets the node's id. */
export function nameFiles(files: readonly OutputFile[], wish: OutputOptions = {}): NamedFile[] {
  const taken = new Set<string>();
  const choose = (...candidates: readonly string[]): string => {
    // Again as a whole, and before comparing: parts that are short enough may be too long together.
    const names = candidates.map(safeKeySegment);
    const name = names.find((candidate) => !taken.has(candidate)) ?? safeKeySegment(`${taken.size}-${candidates[0]}`);
    taken.add(name);
    return name;
  };
  const named = files.map((file) => {
    const folder = withoutJobFolder(file.subfolder);
    const parts = [...folder.split(/[\\/]/).filter((part) => part !== ""), file.filename.replace(FLAT, "$1$2")];
    const plain = parts.map(safeKeySegment).join("-");
    const node = safeKeySegment(file.node_id);
    return { ...file, name: choose(plain, `${node}-${plain}`, `${node}-${file.key}-${file.index}-${plain}`) };
  });
  return named.map((file) =>
    PICTURE.test(file.filename) ? { ...file, ...pictureNames(file.name, wish, choose) } : file,
  );
}

function pictureNames(
  name: string,
  { convert, thumbnail }: OutputOptions,
  choose: (...candidates: readonly string[]) => string,
): Pick<NamedFile, "convertedName" | "thumbnailName"> {
  const stem = name.replace(/\.[^.]*$/, "");
  const extension = convert?.format === "jpeg" ? "jpg" : convert?.format;
  const small = thumbnail?.format === "jpeg" ? "jpg" : thumbnail?.format;
  const isThere = extension !== undefined && name.toLowerCase().endsWith(`.${extension}`);
  return {
    ...(extension !== undefined && {
      convertedName: isThere ? name : choose(`${stem}.${extension}`, `${name}.${extension}`),
    }),
    ...(small !== undefined && { thumbnailName: choose(`${stem}.thumb.${small}`, `${name}.thumb.${small}`) }),
  };
}

/** Kind by content, never by ComfyUI's key: SaveVideo answers under `images` (protocol §3.4). */
export function outputType(contentType: string, filename: string): OutputType {
  const family = contentType.split("/")[0];
  if (family === "image" || family === "video" || family === "audio" || family === "text") return family;
  if (family === "model" || /\.(glb|gltf|obj|ply|stl|fbx)$/i.test(filename)) return "3d";
  return /\.latent$/i.test(filename) ? "latent" : "file";
}
