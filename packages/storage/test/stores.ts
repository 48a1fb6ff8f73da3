import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type FakeS3, type FakeS3Options, startFakeS3 } from "@comfyq/fake-s3";
import {
  type BodySource,
  type ByteSpan,
  openStorage,
  type Storage,
  StorageError,
  type StorageOptions,
} from "../src/index.ts";

export const CREDENTIALS = { accessKeyId: "key-id", secretAccessKey: "secret" };

export interface OpenStore extends AsyncDisposable {
  readonly storage: Storage;
}

/** A store in a new folder, which is the store's alone. */
export async function openTestFolder(options: StorageOptions = {}): Promise<OpenStore & { readonly root: string }> {
  const root = await mkdtemp(join(tmpdir(), "storage-"));
  const storage = openStorage(root, { linkBase: "http://127.0.0.1:1/files", linkSecret: "s", ...options });
  return { storage, root, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
}

export interface TestS3 extends OpenStore {
  readonly fake: FakeS3;
  /** Another storage on the same server. */
  open(url: string, options?: StorageOptions): Storage;
}

/** A store in one bucket of a server of its own. The SDK tries once, unless told otherwise. */
export async function openTestS3(options: StorageOptions = {}, server: Partial<FakeS3Options> = {}): Promise<TestS3> {
  const fake = await startFakeS3({ buckets: ["bucket-1"], ...CREDENTIALS, ...server });
  const opened: Storage[] = [];
  const open = (url: string, more: StorageOptions = {}) => {
    const given = { endpoint: fake.url, credentials: CREDENTIALS, maxAttempts: 1, ...options, ...more };
    const storage = openStorage(url, given);
    opened.push(storage);
    return storage;
  };
  return {
    fake,
    open,
    storage: open("s3://bucket-1/some/prefix"),
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((storage) => storage.close()));
      await fake.close();
    },
  };
}

/** The StorageError of a call that must fail. */
export async function failure(call: Promise<unknown>): Promise<StorageError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StorageError)) throw new Error("the call did not fail with a StorageError", { cause: error });
  return error;
}

/** The whole content of an object as text. */
export async function readText(storage: Storage, key: string): Promise<string> {
  return (await buffer((await storage.get(key)).body)).toString("utf8");
}

/** A stream of these bytes in pieces that fit no boundary. */
export function streamOf(bytes: Buffer): Readable {
  return Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += 60_001) yield bytes.subarray(at, at + 60_001);
    })(),
  );
}

/** A stream that gives some bytes and then fails. */
export function failingStream(error: Error, sizeBytes = 100_000): Readable {
  return Readable.from(
    (function* () {
      yield Buffer.alloc(sizeBytes);
      throw error;
    })(),
  );
}

/** A stream that gives some bytes and then nothing more. */
export function silentStream(sizeBytes: number): Readable {
  let given = false;
  return new Readable({
    read() {
      if (!given) this.push(Buffer.alloc(sizeBytes));
      given = true;
    },
  });
}

/** A source of these bytes that notes the spans it was asked for, and fails where it is told to, so often. */
export interface TestSource extends BodySource {
  readonly asked: ByteSpan[];
}

export function sourceOf(bytes: Buffer, fault?: { at: number; times: number; error: Error }): TestSource {
  const asked: ByteSpan[] = [];
  let left = fault?.times ?? 0;
  return {
    sizeBytes: bytes.length,
    asked,
    open: async (span) => {
      asked.push(span);
      return Readable.from(
        (function* () {
          for (let at = span.start; at < bytes.length; at += 60_001) {
            const end = at + 60_001;
            if (fault && left > 0 && at <= fault.at && fault.at < end) {
              left -= 1;
              yield bytes.subarray(at, fault.at);
              throw fault.error;
            }
            yield bytes.subarray(at, end);
          }
        })(),
      );
    },
  };
}
