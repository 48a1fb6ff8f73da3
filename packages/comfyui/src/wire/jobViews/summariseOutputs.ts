import { extname } from "node:path";
import { isObject } from "../validation/pythonValues.ts";

/** What nodes returned: node id → UI key → items. */
export type ListedOutputs = Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>>;

/** What the jobs API says of a prompt's outputs. */
export interface OutputsSummary {
  readonly count: number;
  readonly previewableCount: number;
  /** The one output that stands for the job. */
  readonly preview: Readonly<Record<string, unknown>> | undefined;
  /** The outputs with 3D files that were given as strings turned into file entries. */
  readonly normalised: Readonly<Record<string, unknown>>;
}

type Item = Readonly<Record<string, unknown>>;

const PREVIEWABLE_KEYS = ["images", "video", "audio", "3d", "text"];
const MESHES = [".obj", ".fbx", ".gltf", ".glb", ".usdz"];
const TEXTS = [".txt", ".md", ".json"];
const LONGEST_TEXT = 1024;

/** Counts outputs and chooses the one to show: saved media, other media, saved text, shown text (jobs.py). */
export function summariseOutputs(outputs: ListedOutputs): OutputsSummary {
  const items = Object.entries(outputs).flatMap(([nodeId, byKey]) =>
    Object.entries(byKey)
      .filter(([key]) => key !== "animated")
      .flatMap(([mediaType, list]) => list.map((entry) => ({ nodeId, mediaType, entry, item: asItem(entry) }))),
  );
  const files = items.flatMap(({ item, ...rest }) => (item ? [{ ...rest, item }] : []));
  const previewable = files.filter(({ mediaType, item }) => isPreviewable(mediaType, item));
  const media = previewable.filter(({ mediaType, item }) => !isText(mediaType, item));
  const file = media.find(({ item }) => item["type"] === "output") ?? media[0] ?? previewable[0];
  const words = items.find(({ mediaType, item }) => mediaType === "text" && !item);
  return {
    count: files.length,
    previewableCount: previewable.length,
    preview: file
      ? { mediaType: file.mediaType, ...file.item, nodeId: file.nodeId }
      : words && { ...textPreview(String(words.entry)), nodeId: words.nodeId, mediaType: words.mediaType },
    normalised: Object.fromEntries(
      Object.entries(outputs).map(([nodeId, byKey]) => [
        nodeId,
        Object.fromEntries(Object.entries(byKey).map(([key, list]) => [key, key === "animated" ? list : tidied(list)])),
      ]),
    ),
  };
}

const tidied = (list: readonly unknown[]): unknown[] =>
  list.filter((entry) => entry !== null).map((entry) => asItem(entry) ?? entry);

function asItem(entry: unknown): Item | undefined {
  if (isObject(entry)) return entry;
  const isMesh = typeof entry === "string" && MESHES.includes(extname(entry.toLowerCase()));
  return isMesh ? { filename: entry, type: "output", subfolder: "", mediaType: "3d" } : undefined;
}

function isPreviewable(mediaType: string, item: Item): boolean {
  const format = textOf(item["format"]);
  const extension = extensionOf(item);
  return (
    PREVIEWABLE_KEYS.includes(mediaType) ||
    format.startsWith("video/") ||
    format.startsWith("audio/") ||
    MESHES.includes(extension) ||
    TEXTS.includes(extension)
  );
}

const isText = (mediaType: string, item: Item): boolean => mediaType === "text" || TEXTS.includes(extensionOf(item));

const extensionOf = (item: Item): string => extname(textOf(item["filename"]).toLowerCase());

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

const textPreview = (text: string): Item =>
  text.length <= LONGEST_TEXT ? { content: text } : { content: text.slice(0, LONGEST_TEXT), truncated: true };
