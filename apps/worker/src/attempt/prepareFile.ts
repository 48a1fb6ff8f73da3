import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { OutputOptions } from "@comfyq/contract";
import { type MadePicture, MOST_PICTURE_BYTES, makePicture, PictureRefusal, stripFor } from "@comfyq/media";
import type { PutBody } from "@comfyq/storage";
import type { Tools } from "../tools.ts";
import type { AttemptRun } from "./attempt.ts";
import type { NamedFile } from "./nameFiles.ts";
import type { OpenOutput } from "./openOutput.ts";

/** A result as it is to be stored. */
export interface Prepared {
  readonly name: string;
  readonly body: PutBody;
  readonly sizeBytes: number | undefined;
  readonly thumbnail?: MadePicture & { readonly name: string };
  /** What was asked and could not be done. */
  readonly warnings: readonly string[];
}

interface Preparing {
  readonly file: NamedFile;
  readonly open: OpenOutput;
}

/**
 * Makes of a result what the customer asked for. What cannot be made is told in the warnings, and the file stays as it is:
 * a render is worth more than its conversion.
 */
export async function prepareFile(run: AttemptRun, { file, open }: Preparing, tools: Tools): Promise<Prepared> {
  const wish = run.job.head.output ?? {};
  const plain: Prepared = { name: file.name, body: open.body, sizeBytes: open.sizeBytes, warnings: [] };
  if (file.convertedName === undefined && file.thumbnailName === undefined) return strippedIf(wish, file, plain);
  if (open.sizeBytes === undefined || open.sizeBytes > MOST_PICTURE_BYTES) {
    const warning = `It was left as it is: pictures of more than ${MOST_PICTURE_BYTES} bytes are not converted`;
    return strippedIf(wish, file, { ...plain, warnings: [warning] });
  }
  return tools.pictures.inTurn(async () => {
    const source = await buffer(await streamOf(open.body, run.signal));
    const made = await makeOf(source, { file, wish }, run.signal);
    if (made.converted)
      return { ...made, body: made.converted, name: file.convertedName ?? file.name, sizeBytes: undefined };
    return strippedIf(wish, file, { ...plain, ...made, body: source, sizeBytes: source.length });
  }, run.signal);
}

interface Made extends Pick<Prepared, "thumbnail" | "warnings"> {
  readonly converted: Buffer | undefined;
}

interface Making {
  readonly file: NamedFile;
  readonly wish: OutputOptions;
}

async function makeOf(source: Buffer, { file, wish }: Making, signal: AbortSignal): Promise<Made> {
  const warnings: string[] = [];
  const attempt = async (what: string, picture: Parameters<typeof makePicture>[1] | undefined) => {
    try {
      return picture && (await makePicture(source, picture, signal));
    } catch (error) {
      if (!(error instanceof PictureRefusal)) throw error;
      warnings.push(`No ${what} was made of it: ${error.message}`);
      return undefined;
    }
  };
  const { convert, thumbnail: small } = wish;
  const converted = await attempt(convert?.format ?? "", convert);
  const little = await attempt("thumbnail", small && { format: small.format, mostPixels: small.max_px });
  const thumbnail = little && file.thumbnailName !== undefined ? { ...little, name: file.thumbnailName } : undefined;
  return { converted: converted?.bytes, warnings, ...(thumbnail && { thumbnail }) };
}

/** Length and parts of what is left are not known beforehand: it goes as a stream. */
async function strippedIf(wish: OutputOptions, { filename }: NamedFile, prepared: Prepared): Promise<Prepared> {
  const strip = wish.strip_metadata ? stripFor(filename) : "none";
  if (strip === "none") return prepared;
  if (!strip) {
    const warning = "Its metadata was not taken out: that is not known for files of this kind";
    return { ...prepared, warnings: [...prepared.warnings, warning] };
  }
  const bytes = await streamOf(prepared.body);
  return { ...prepared, body: Readable.from(strip(bytes), { objectMode: false }), sizeBytes: undefined };
}

async function streamOf(body: PutBody, signal?: AbortSignal): Promise<Readable> {
  if (body instanceof Readable) return body;
  if (typeof body === "object" && "open" in body) return body.open({ start: 0, end: body.sizeBytes }, signal);
  return Readable.from([body], { objectMode: false });
}
