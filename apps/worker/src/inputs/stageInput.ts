import { isComfyError } from "@comfyq/comfyui";
import { failPoint, type HistoryFacts } from "@comfyq/runtime";
import { type Patient, patiently } from "../patiently.ts";
import type { Tools } from "../tools.ts";
import { openSource } from "./openSource.ts";
import { spool } from "./spool.ts";

/** Where our uploads stand in ComfyUI's input folder; named by content, so equal bytes are one file. */
const UPLOAD_FOLDER = "comfyq";
/** How long an upload that fails is tried again; the input stays on our disk meanwhile. */
const UPLOAD_PATIENCE_MS = 120_000;

/** One input of a job. */
export interface InputWish {
  readonly source: string;
  /** As the customer wrote it: `10.inputs.image` or `/input/pose.png`. */
  readonly label: string;
}

/** For which job an input is staged: now, by its attempt, or ahead of it. */
export interface Staging extends Patient {
  readonly tenant: string;
  /** What a test's history says of it. */
  readonly facts: HistoryFacts;
}

export type StageTools = Pick<Tools, "config" | "comfyui" | "store" | "fetchInput" | "log">;

/**
 * Brings one input onto the instance: fetched, hashed, uploaded under its content's hash.
 * @returns its name as the graph has to say it
 * @throws JobError `input_unavailable` | `input_unreachable` | `input_too_large`; ComfyError from the upload
 */
export async function stageInput(wish: InputWish, staging: Staging, tools: StageTools): Promise<string> {
  const { tenant, signal, facts } = staging;
  const source = await openSource(wish, { tenant, signal }, tools);
  await failPoint("inputs_downloading", facts);
  await using file = await spool(source.body, { label: wish.label, maxBytes: tools.config.COMFYQ_MAX_INPUT_BYTES });
  const uploaded = await patiently(staging, tools.log, {
    what: "uploading an input",
    patienceMs: UPLOAD_PATIENCE_MS,
    mayPass: (error) => isComfyError(error, "unreachable", "busy", "protocol", "rate_limited"),
    step: () =>
      tools.comfyui.upload({
        body: file.open(),
        name: `${file.sha256}${source.extension}`,
        subfolder: UPLOAD_FOLDER,
        contentType: source.contentType,
        signal,
      }),
  });
  await failPoint("uploaded", facts);
  return uploaded.subfolder === "" ? uploaded.name : `${uploaded.subfolder}/${uploaded.name}`;
}
