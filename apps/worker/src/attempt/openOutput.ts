import type { Readable } from "node:stream";
import { ComfyError, isComfyError, type OutputFile, type ViewedFile } from "@comfyq/comfyui";
import type { BodySource, ByteSpan, PutBody } from "@comfyq/storage";
import { JobError } from "../jobError.ts";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import { isInJobFolder } from "./filenamePrefix.ts";
import { openMounted } from "./openMounted.ts";

/** A result's bytes, opened. */
export interface OpenOutput {
  readonly body: PutBody;
  /** When the server told. */
  readonly sizeBytes: number | undefined;
  /** Lets go of what nobody has read. */
  readonly close: () => void;
}

type Wanted = Pick<OutputFile, "node_id" | "filename" | "subfolder" | "type">;

/**
 * Opens a result: in the folder of the instance's outputs when it is mounted here and has the file, else by `/view`, with
 * ranges where the server honours them.
 * @throws JobError `output_missing`; ComfyError
 */
export async function openOutput({ job, signal }: AttemptRun, file: Wanted, tools: Tools): Promise<OpenOutput> {
  const folder = tools.config.COMFYUI_OUTPUT_DIR;
  if (folder && file.type === "output" && isInJobFolder(file.subfolder, job.id)) {
    const mounted = await openMounted(folder, file, signal);
    if (mounted) return { body: mounted, sizeBytes: mounted.sizeBytes, close: () => {} };
    tools.log.warn({ jobId: job.id, file: file.filename }, "an output is not in COMFYUI_OUTPUT_DIR and is fetched");
  }
  const first = await view(file, { start: 0 }, { signal, tools });
  const close = () => void first.body.on("error", () => {}).destroy();
  const { whole } = first;
  if (!whole) return { body: first.body, sizeBytes: first.sizeBytes, close };
  return { body: rangesOf(file, { ...first, whole }, tools), sizeBytes: whole.sizeBytes, close };
}

/** The stream that is open already serves the first reading. */
function rangesOf(file: Wanted, first: ViewedFile & Required<Pick<ViewedFile, "whole">>, tools: Tools): BodySource {
  let unread: Readable | undefined = first.body.on("error", () => {});
  return {
    sizeBytes: first.whole.sizeBytes,
    open: async (span: ByteSpan, signal) => {
      const body = span.start === 0 ? unread : undefined;
      unread = undefined;
      if (body) return body;
      const next = await view(file, span, { signal, tools });
      if (next.whole?.version === first.whole.version) return next.body;
      next.body.on("error", () => {}).destroy();
      throw new ComfyError("busy", `The output ${file.filename} changed while it was fetched; it is fetched again.`);
    },
  };
}

interface Viewing {
  readonly signal: AbortSignal | undefined;
  readonly tools: Tools;
}

async function view(
  file: Wanted,
  range: { readonly start: number; readonly end?: number },
  { signal, tools }: Viewing,
): Promise<ViewedFile> {
  try {
    return await tools.comfyui.view(file, { signal, range });
  } catch (error) {
    if (!isComfyError(error, "not_found")) throw error;
    const message = `Node ${file.node_id} names ${file.filename}, but ComfyUI has no such file any more; it will be rendered again`;
    throw new JobError("output_missing", message, { nodeId: file.node_id, cause: error });
  }
}
