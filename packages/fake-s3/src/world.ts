import { join } from "node:path";
import type { Blob, BlobShelf } from "./blobShelf.ts";
import { Bucket } from "./bucket.ts";
import type { ChecksumAlgorithm } from "./checksums.ts";
import type { Dialect } from "./dialect.ts";
import { FakeS3Error } from "./fakeS3Error.ts";
import { openFolderShelf } from "./folderShelf.ts";
import { openMemoryShelf } from "./memoryShelf.ts";
import { folderIndex, forgetfulIndex, type ObjectIndex } from "./objectIndex.ts";

/** One part of a running multipart upload. */
export interface Part {
  readonly number: number;
  readonly blob: Blob;
  readonly md5Hex: string;
  /** base64, when the upload has a checksum algorithm. */
  readonly checksum?: string;
  readonly lastModifiedMs: number;
}

export interface MultipartUpload {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly algorithm?: ChecksumAlgorithm;
  readonly checksumType: "FULL_OBJECT" | "COMPOSITE";
  readonly initiatedMs: number;
  readonly parts: Map<number, Part>;
}

/** Everything this server holds. Running multipart uploads do not outlive it. */
export interface World {
  readonly buckets: Map<string, Bucket>;
  readonly uploads: Map<string, MultipartUpload>;
  readonly shelf: BlobShelf;
  readonly index: ObjectIndex;
  readonly dialect: Dialect;
  readonly smallestPartBytes: number;
  readonly mostKeysPerPage: number;
  readonly nowMs: () => number;
}

/** Where objects are kept. */
interface Shelving {
  /** Folder; `undefined` keeps them in memory. */
  readonly dir: string | undefined;
  /** In memory, larger blobs are not kept; see `openMemoryShelf`. */
  readonly forgetAboveBytes: number | undefined;
}

export async function openWorld(
  { dir, forgetAboveBytes }: Shelving,
  rules: Pick<World, "dialect" | "smallestPartBytes" | "mostKeysPerPage" | "nowMs">,
): Promise<World> {
  const index = dir === undefined ? forgetfulIndex() : folderIndex(join(dir, "objects"));
  const loaded = await index.load();
  const buckets = new Map([...loaded].map(([name, records]) => [name, new Bucket(name, records)]));
  const namedIds = new Set([...loaded.values()].flat().flatMap((record) => record.blobs.map((blob) => blob.id)));
  const shelf =
    dir === undefined ? openMemoryShelf(forgetAboveBytes) : await openFolderShelf(join(dir, "blobs"), namedIds);
  return { buckets, uploads: new Map(), shelf, index, ...rules };
}

/** @throws FakeS3Error `NoSuchBucket` */
export function findBucket(world: World, name: string): Bucket {
  const bucket = world.buckets.get(name);
  if (!bucket) throw new FakeS3Error("NoSuchBucket", "The specified bucket does not exist");
  return bucket;
}

/** Makes the bucket if there is none of that name. @throws FakeS3Error `InvalidBucketName` */
export async function addBucket(world: World, name: string): Promise<void> {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
    throw new FakeS3Error("InvalidBucketName", `The specified bucket is not valid: ${name}`);
  }
  if (world.buckets.has(name)) return;
  world.buckets.set(name, new Bucket(name, []));
  await world.index.saveBucket(name);
}
