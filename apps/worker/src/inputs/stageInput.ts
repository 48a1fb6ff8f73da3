import { isComfyError } from "@comfyq/comfyui";
import type { InputSource, JobSecrets } from "@comfyq/contract";
import { failPoint, type HistoryFacts } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";
import { type Patient, patiently } from "../patiently.ts";
import type { Tools } from "../tools.ts";
import { type Known, openSource, type Source } from "./openSource.ts";
import { type Content, type Shelf, UPLOAD_FOLDER } from "./shelf.ts";
import { type SpooledFile, spool } from "./spool.ts";

/** How long an upload that fails is tried again; the input stays on our disk meanwhile. */
const UPLOAD_PATIENCE_MS = 120_000;

/** One input of a job. */
export interface InputWish {
  readonly source: InputSource;
  /** As the customer wrote it: `10.inputs.image` or `/input/pose.png`. */
  readonly label: string;
}

/** For which job an input is staged: now, by its attempt, or ahead of it. */
export interface Staging extends Patient {
  readonly tenant: string;
  /** The job's, opened when a source names one. */
  readonly secrets: () => JobSecrets;
  /** What a test's history says of it. */
  readonly facts: HistoryFacts;
  /** Called with the bytes that were fetched so far; may throw to have no more of them. */
  readonly onBytes?: (bytes: number) => void;
}

export type StageTools = Pick<Tools, "config" | "comfyui" | "store" | "fetchInput" | "log">;

/** An input that is on the instance. */
export interface Staged {
  readonly content: Content;
  /** As the graph has to say it. */
  readonly name: string;
}

/**
 * Brings one input onto the instance: fetched, hashed, and uploaded under its content's hash unless it is there. One whose
 * hash is known and that is there is not even read.
 * @throws JobError `input_unavailable` | `input_unreachable` | `input_too_large`; ComfyError from the upload
 */
export async function stageInput(
  wish: InputWish,
  staging: Staging,
  tools: StageTools & { readonly shelf: Shelf },
): Promise<Staged> {
  const { tenant, signal, secrets } = staging;
  const source = await openSource(wish, { tenant, signal, secrets }, tools);
  if (source.known) {
    const content = contentOf(source.known, source);
    const bring = async () => {
      await using file = await fetchAll(wish, source, { staging, tools });
      if (file.sha256 !== source.known?.sha256) throw notAsKnown(wish);
      return await upload({ file, source, content }, staging, tools); // while the file is open
    };
    return { content, name: await tools.shelf.place(content, bring, signal) };
  }
  await using file = await fetchAll(wish, source, { staging, tools });
  const content = contentOf(file, source);
  const bring = () => upload({ file, source, content }, staging, tools);
  return { content, name: await tools.shelf.place(content, bring, signal) };
}

function contentOf({ sha256, sizeBytes }: Known, { extension }: Source): Content {
  return { name: `${sha256}${extension}`, sizeBytes };
}

function notAsKnown({ label, source }: InputWish): JobError {
  return new JobError(
    "input_unavailable",
    `Input ${label}: the bytes of ${source.url} are not what they were; upload it again`,
  );
}

interface Surroundings {
  readonly staging: Staging;
  readonly tools: StageTools;
}

async function fetchAll(wish: InputWish, source: Source, { staging, tools }: Surroundings): Promise<SpooledFile> {
  await failPoint("inputs_downloading", staging.facts);
  const { onBytes } = staging;
  const limits = { label: wish.label, maxBytes: tools.config.COMFYQ_MAX_INPUT_BYTES, ...(onBytes && { onBytes }) };
  return spool(await source.open(), limits);
}

interface Fetched {
  readonly file: SpooledFile;
  readonly source: Source;
  readonly content: Content;
}

async function upload({ file, source, content }: Fetched, staging: Staging, tools: StageTools): Promise<string> {
  const uploaded = await patiently(staging, tools.log, {
    what: "uploading an input",
    patienceMs: UPLOAD_PATIENCE_MS,
    mayPass: (error) => isComfyError(error, "unreachable", "busy", "protocol", "rate_limited"),
    step: () =>
      tools.comfyui.upload({
        body: file.open(),
        name: content.name,
        subfolder: UPLOAD_FOLDER,
        contentType: source.contentType,
        signal: staging.signal,
      }),
  });
  await failPoint("uploaded", staging.facts);
  return uploaded.subfolder === "" ? uploaded.name : `${uploaded.subfolder}/${uploaded.name}`;
}
