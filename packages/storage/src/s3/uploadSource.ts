import { UploadPartCommand } from "@aws-sdk/client-s3";
import { sleep } from "../clock.ts";
import type { BodyWatch } from "../readBody.ts";
import type { BodySource } from "../storage.ts";
import { storageError } from "../storageError.ts";
import type { Expected } from "./confirmStored.ts";
import { cutIntoSpans } from "./cutIntoParts.ts";
import { feedRequest } from "./feedRequest.ts";
import { inOneUpload, noteSent, type Upload } from "./multipart.ts";
import { PartReading } from "./partReading.ts";
import { s3Error } from "./s3Error.ts";
import type { S3Write } from "./s3Write.ts";

const FIRST_WAIT_MS = 250;

/**
 * A source in parts that go straight from its ranges to S3: none is kept in memory, and one that S3 did not take is read
 * again. sha256 wants the bytes in their order, so a part is read when the one before it has been; two are under way,
 * because one may still wait for its answer.
 */
export function uploadSource(write: S3Write, source: BodySource, watch: BodyWatch): Promise<Expected> {
  return inOneUpload(write, watch.measure, (upload) => sendSpans(upload, source, watch));
}

/** @throws StorageError `size_mismatch` when another length was announced; whatever reading or sending failed with */
async function sendSpans(upload: Upload, source: BodySource, watch: BodyWatch): Promise<void> {
  if (watch.sizeBytes !== source.sizeBytes) {
    const detail = `${watch.sizeBytes} bytes were announced of a source of ${source.sizeBytes}`;
    throw storageError("size_mismatch", watch.doing, { detail });
  }
  let failure: { error: unknown } | undefined;
  let previous: Promise<void> = Promise.resolve();
  for (const [index, span] of cutIntoSpans(source.sizeBytes).entries()) {
    const part = new PartReading(index + 1, span, source, watch);
    const sent = sendPatiently(upload, part).catch((error: unknown) => {
      failure ??= { error }; // the first failure is the reason, what it stops is not
      upload.write.stop(error);
    });
    await Promise.race([part.wasRead, sent]);
    await previous;
    if (failure) break;
    previous = sent;
  }
  await previous;
  if (failure) throw failure.error;
}

/** As often as the SDK would try a request that it can repeat. */
async function sendPatiently(upload: Upload, part: PartReading): Promise<void> {
  const { place, signal, doing } = upload.write;
  for (let tries = 1; ; tries++) {
    try {
      return await sendOnce(upload, part);
    } catch (error) {
      const isFinal = signal.aborted || tries >= place.settings.maxAttempts || part.hasFailed(error);
      if (isFinal || !s3Error(error, doing).retryable) throw error;
      await sleep(FIRST_WAIT_MS * 2 ** tries, signal);
    }
  }
}

async function sendOnce(upload: Upload, part: PartReading): Promise<void> {
  const { place, at, signal } = upload.write;
  const stopper = new AbortController();
  const either = AbortSignal.any([signal, stopper.signal]);
  const chunks = part.read(either);
  const fed = feedRequest(chunks, (reason) => stopper.abort(reason));
  try {
    const command = new UploadPartCommand({
      ...at,
      UploadId: upload.uploadId,
      PartNumber: part.number,
      Body: fed.stream,
      ContentLength: part.sizeBytes,
      ...(upload.withChecksums && { ChecksumAlgorithm: "CRC32" as const }),
    });
    const answer = await place.client.send(command, { abortSignal: either });
    await fed.finish();
    noteSent(upload, { number: part.number, crc32: part.crc32, etag: answer.ETag }, answer.ChecksumCRC32);
  } catch (error) {
    throw fed.failure() ?? error;
  } finally {
    stopper.abort(); // ends the source's stream: the next try may not begin beside it
    await chunks.return(undefined).catch(() => {});
  }
}
