import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { MOST_PICTURE_BYTES, PictureRefusal, putAlpha } from "@comfyq/media";
import * as z from "zod";
import { parseJson } from "../../body/parseJson.ts";
import { ApiError } from "../../errors.ts";
import { digestOf } from "../../objects/digest.ts";
import type { MeasuredFile, Upload } from "../../objects/readUpload.ts";
import type { Rooms } from "../../rooms.ts";
import type { Call } from "../../route.ts";
import { findFile, readAddress } from "./findFile.ts";
import type { ComfyTools } from "./tools.ts";

const EXAMPLE = '{"filename": "photo.png", "subfolder": "", "type": "input"}';
const OriginalRef = z.object({ filename: z.string(), subfolder: z.string().optional(), type: z.string().optional() });

/**
 * The picture that an upload's `original_ref` names, with the upload's transparency; a PNG under the upload's name (server.py
 * upload_mask). Where ComfyUI answers 200 and writes nothing, this refuses.
 * @throws ApiError `invalid_request` | `not_found`
 */
export async function maskedOriginal(
  rooms: Rooms,
  call: Call,
  { mask, tools }: { readonly mask: Upload; readonly tools: ComfyTools },
): Promise<MeasuredFile> {
  const { signal } = call;
  const address = readAddress(readReference(mask));
  const found = await findFile(rooms, call, { address, uploads: tools.uploads });
  if (!found)
    throw new ApiError(
      "not_found",
      "The picture that original_ref names is not there; upload it first, or mend its name",
    );
  const bytes = await tools.pictures.inTurn(async () => {
    const original = await rooms.storage.get(found.key, { signal });
    if (Math.max(original.totalBytes, mask.sizeBytes) > MOST_PICTURE_BYTES) {
      original.body.destroy();
      throw refusal(`a picture of more than ${MOST_PICTURE_BYTES} bytes is not decoded here`);
    }
    return putAlpha(await buffer(original.body), await buffer(mask.open()), signal).catch((error: unknown) => {
      throw error instanceof PictureRefusal ? refusal(error.message) : error;
    });
  }, signal);
  const facts = { sizeBytes: bytes.length, name: mask.name, contentType: "image/png" };
  return { ...(await digestOf(bytes)), ...facts, open: () => Readable.from([bytes], { objectMode: false }) };
}

/** @throws ApiError `invalid_request` */
function readReference({ fields }: Upload): z.infer<typeof OriginalRef> {
  const text = fields.get("original_ref")?.at(-1);
  if (text === undefined) throw new ApiError("invalid_request", `The field original_ref is missing; send ${EXAMPLE}`);
  const parsed = OriginalRef.safeParse(parseJson(Buffer.from(text), EXAMPLE));
  if (parsed.success) return parsed.data;
  throw new ApiError("invalid_request", `original_ref must be JSON with the texts of a file's address, as ${EXAMPLE}`);
}

function refusal(why: string): ApiError {
  return new ApiError("invalid_request", `The mask cannot be put on its original: ${why}`);
}
