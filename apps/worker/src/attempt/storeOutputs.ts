import { ComfyError, type OutputFile, type PromptOutputs, type Rendered } from "@comfyq/comfyui";
import { attemptPrefix, type Manifest, type OutputType, type StoredFile } from "@comfyq/contract";
import { failPoint, isBroken } from "@comfyq/runtime";
import { contentTypeOf, StorageError, type StoredObject, safeKeySegment } from "@comfyq/storage";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import { type AttemptRun, historyOf } from "./attempt.ts";
import { withoutJobFolder } from "./filenamePrefix.ts";
import { openOutput } from "./openOutput.ts";
import { storeValues } from "./storeValues.ts";
import { untilStored } from "./untilStored.ts";

export type StoredOutputs = Manifest["outputs"];

/** Files of one job that are stored at the same time. */
const PARALLEL = 3;

/**
 * Streams every result into storage under this attempt's prefix, never whole in memory, with size and sha256 counted on
 * the way. Results in the order of the nodes.
 * @throws JobError `output_missing` | `no_outputs` | `output_push_failed`
 */
export async function storeOutputs(run: AttemptRun, rendered: Rendered, tools: Tools): Promise<StoredOutputs> {
  const files = nameFiles(wantedFiles(rendered.outputs));
  const { values } = rendered.outputs;
  if (files.length + values.length === 0)
    throw new JobError("no_outputs", "ComfyUI finished, but no node returned a file or value; add a Save node");
  const stored: (StoredFile | undefined)[] = files.map(() => undefined);
  const queue = files.entries();
  const carry = async () => {
    for (const [at, file] of queue) stored[at] = await storeFile(run, file, tools);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, files.length) }, carry));
  const taken = new Set(files.map(({ name }) => name));
  return [...stored.filter((file) => file !== undefined), ...(await storeValues(run, { values, taken }, tools))];
}

interface NamedFile extends OutputFile {
  /** Unique within the job. */
  readonly name: string;
}

/** Saved files; previews (`temp`) only when nothing was saved, so that a graph that only previews still has a result. */
function wantedFiles({ files }: PromptOutputs): readonly OutputFile[] {
  const saved = files.filter((file) => file.type === "output");
  return saved.length > 0 ? saved : files.filter((file) => file.type === "temp");
}

/** The customer's own names: our folder is taken off again, and a name that two nodes chose gets the node's id. */
export function nameFiles(files: readonly OutputFile[]): NamedFile[] {
  const taken = new Set<string>();
  return files.map((file) => {
    const folder = withoutJobFolder(file.subfolder);
    const plain = [...folder.split(/[\\/]/).filter((part) => part !== ""), file.filename].map(safeKeySegment).join("-");
    const candidates = [
      plain,
      `${safeKeySegment(file.node_id)}-${plain}`,
      `${safeKeySegment(file.node_id)}-${file.key}-${file.index}-${plain}`,
    ];
    // Again as a whole, and before comparing: parts that are short enough may be too long together.
    const names = candidates.map(safeKeySegment);
    const name = names.find((candidate) => !taken.has(candidate)) ?? safeKeySegment(`${taken.size}-${plain}`);
    taken.add(name);
    return { ...file, name };
  });
}

async function storeFile(run: AttemptRun, file: NamedFile, tools: Tools): Promise<StoredFile> {
  const { job } = run;
  const key = `${attemptPrefix(job.id, job.epoch)}${file.name}`;
  const contentType = contentTypeOf(file.filename);
  const put = await putFile(run, { file, key, contentType }, tools);
  const type = outputType(contentType, file.filename);
  const output = { node_id: file.node_id, name: file.name, type, size_bytes: put.sizeBytes };
  job.show({ event: "output", data: output });
  return { ...output, content_type: contentType, sha256: put.sha256, key };
}

interface FilePut {
  readonly file: NamedFile;
  readonly key: string;
  readonly contentType: string;
}

async function putFile(run: AttemptRun, { file, key, contentType }: FilePut, tools: Tools): Promise<StoredObject> {
  if (isBroken("end_before_store")) return { key, sizeBytes: 1, sha256: "0".repeat(64) }; // for a test: nothing is stored
  const put = await untilStored(run, tools, async () => {
    const { body, sizeBytes, close } = await openOutput(run, file, tools);
    const known = sizeBytes === undefined ? {} : { sizeBytes };
    try {
      return await tools.store.put(key, body, { contentType, signal: run.signal, ...known });
    } catch (error) {
      throw isToldAlready(error) ? error : brokenOff(file, error);
    } finally {
      close();
    }
  });
  await failPoint("output_stored", historyOf(run, { key, sha256: put.sha256, size: put.sizeBytes }));
  return put;
}

function isToldAlready(error: unknown): boolean {
  return error instanceof StorageError || error instanceof ComfyError || error instanceof JobError;
}

function brokenOff({ filename }: NamedFile, cause: unknown): ComfyError {
  return new ComfyError("unreachable", `ComfyUI broke off in the middle of ${filename}`, { cause });
}

/** Kind by content, never by ComfyUI's key: SaveVideo answers under `images` (protocol §3.4). */
export function outputType(contentType: string, filename: string): OutputType {
  const family = contentType.split("/")[0];
  if (family === "image" || family === "video" || family === "audio" || family === "text") return family;
  if (family === "model" || /\.(glb|gltf|obj|ply|stl|fbx)$/i.test(filename)) return "3d";
  return /\.latent$/i.test(filename) ? "latent" : "file";
}
