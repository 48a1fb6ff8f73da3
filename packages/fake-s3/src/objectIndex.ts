import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Blob } from "./blobShelf.ts";
import type { Checksum } from "./checksums.ts";

/** Everything known about one object but its bytes. */
export interface ObjectRecord {
  readonly key: string;
  readonly blobs: readonly Blob[];
  readonly sizeBytes: number;
  /** Without the quotes. */
  readonly etag: string;
  /** What the client gave with the object and gets back: `content-type`, `x-amz-meta-*`, … in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum?: Checksum;
  readonly lastModifiedMs: number;
}

/** Remembers which objects there are, beyond the life of this server or not. */
export interface ObjectIndex {
  load(): Promise<ReadonlyMap<string, readonly ObjectRecord[]>>;
  saveBucket(bucket: string): Promise<void>;
  eraseBucket(bucket: string): Promise<void>;
  save(bucket: string, record: ObjectRecord): Promise<void>;
  erase(bucket: string, key: string): Promise<void>;
}

/** The index of a server that keeps everything in memory: it remembers nothing. */
export function forgetfulIndex(): ObjectIndex {
  const nothing = async () => {};
  return { load: async () => new Map(), saveBucket: nothing, eraseBucket: nothing, save: nothing, erase: nothing };
}

/** One folder per bucket and one JSON file per object, replaced in one step. */
export function folderIndex(dir: string): ObjectIndex {
  const fileOf = (bucket: string, key: string) =>
    join(dir, bucket, `${createHash("sha256").update(key).digest("hex")}.json`);
  return {
    async load() {
      await mkdir(dir, { recursive: true });
      const buckets = await readdir(dir);
      return new Map(
        await Promise.all(buckets.map(async (name) => [name, await loadRecords(join(dir, name))] as const)),
      );
    },
    saveBucket: async (bucket) => void (await mkdir(join(dir, bucket), { recursive: true })),
    eraseBucket: (bucket) => rm(join(dir, bucket), { recursive: true, force: true }),
    async save(bucket, record) {
      const file = fileOf(bucket, record.key);
      const draft = `${file}.${record.blobs[0]?.id ?? "empty"}.draft`;
      await writeFile(draft, JSON.stringify(record));
      await rename(draft, file);
    },
    erase: (bucket, key) => rm(fileOf(bucket, key), { force: true }),
  };
}

async function loadRecords(dir: string): Promise<readonly ObjectRecord[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith(".json"));
  return Promise.all(
    // our own file, written by `save` above
    names.map(async (name) => JSON.parse(await readFile(join(dir, name), "utf8")) as ObjectRecord),
  );
}
