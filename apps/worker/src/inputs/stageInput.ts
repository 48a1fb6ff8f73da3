import { isComfyError } from "@comfyq/comfyui";
import type { InputSource, JobSecrets } from "@comfyq/contract";
import { stripUrl } from "@comfyq/runtime";
import { JobError } from "../jobError.ts";
import { type Patient, patiently } from "../patiently.ts";
import type { Tools } from "../tools.ts";
import { checkInput, type Expected } from "./check/checkInput.ts";
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
  /** What the node that loads it takes. */
  readonly expected: Expected;
}

/** For which job an input is staged: now, by its attempt, or ahead of it. */
export interface Staging extends Patient {
  readonly tenant: string;
  /** The job's, opened when a source names one. */
  readonly secrets: () => JobSecrets;
  /** Called at the two moments at which a test may let the process die. */
  readonly reached: (point: "inputs_downloading" | "uploaded") => Promise<void>;
  /** Called with the bytes that were fetched so far; may throw to have no more of them. */
  readonly onBytes?: (bytes: number) => void;
}

export type StageTools = Pick<Tools, "config" | "comfyui" | "store" | "fetchInput" | "credentials" | "log">;

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
    checkHash(wish, source.known.sha256);
    const content = contentOf(source.known, source);
    const bring = async () => {
      await using file = await fetchAll(wish, source, { staging, tools });
      if (file.sha256 !== source.known?.sha256) throw notAsKnown(wish);
      return await upload({ file, source, content }, staging, tools); // while the file is open
    };
    return { content, name: await tools.shelf.place(content, bring, signal) };
  }
  await using file = await fetchAll(wish, source, { staging, tools });
  checkHash(wish, file.sha256);
  const content = contentOf(file, source);
  const bring = () => upload({ file, source, content }, staging, tools);
  return { content, name: await tools.shelf.place(content, bring, signal) };
}

function contentOf({ sha256, sizeBytes }: Known, { extension }: Source): Content {
  return { name: `${sha256}${extension}`, sha256, sizeBytes };
}

function notAsKnown({ label, source }: InputWish): JobError {
  return new JobError(
    "input_unavailable",
    `Input ${label}: the bytes of ${source.url} are not what they were; upload it again`,
  );
}

/** @throws JobError when the customer said which bytes it had to be, and it is others */
function checkHash({ label, source }: InputWish, sha256: string): void {
  if (source.sha256 === undefined || source.sha256 === sha256) return;
  const message = `Input ${label}: ${stripUrl(source.url)} has the sha256 ${sha256}, not ${source.sha256}; correct one of them`;
  throw new JobError("input_unavailable", message);
}

interface Surroundings {
  readonly staging: Staging;
  readonly tools: StageTools;
}

async function fetchAll(wish: InputWish, source: Source, { staging, tools }: Surroundings): Promise<SpooledFile> {
  await staging.reached("inputs_downloading");
  const { onBytes } = staging;
  const limits = { label: wish.label, maxBytes: tools.config.COMFYQ_MAX_INPUT_BYTES, ...(onBytes && { onBytes }) };
  const file = await spool(await source.open(), limits);
  try {
    await checkInput(file, {
      label: wish.label,
      shown: stripUrl(wish.source.url),
      expected: wish.expected,
      extension: source.extension,
      maxPixels: tools.config.COMFYQ_MAX_INPUT_PIXELS,
    });
    return file;
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
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
  await staging.reached("uploaded");
  return uploaded.subfolder === "" ? uploaded.name : `${uploaded.subfolder}/${uploaded.name}`;
}
