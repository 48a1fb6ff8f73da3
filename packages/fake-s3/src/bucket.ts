import { FakeS3Error } from "./fakeS3Error.ts";
import type { ObjectRecord } from "./objectIndex.ts";

/** The objects of one bucket, and their order. */
export class Bucket {
  readonly name: string;
  readonly #records: Map<string, ObjectRecord>;
  #sortedKeys: readonly string[] | undefined;

  constructor(name: string, records: readonly ObjectRecord[]) {
    this.name = name;
    this.#records = new Map(records.map((record) => [record.key, record]));
  }

  /** All keys in the order of their UTF-8 bytes, as S3 lists them. */
  get keys(): readonly string[] {
    this.#sortedKeys ??= [...this.#records.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    return this.#sortedKeys;
  }

  find(key: string): ObjectRecord | undefined {
    return this.#records.get(key);
  }

  /** @throws FakeS3Error `NoSuchKey` */
  get(key: string): ObjectRecord {
    const record = this.#records.get(key);
    if (!record) throw new FakeS3Error("NoSuchKey", "The specified key does not exist.");
    return record;
  }

  /** Returns what stood there before. */
  put(record: ObjectRecord): ObjectRecord | undefined {
    const before = this.#records.get(record.key);
    if (!before) this.#sortedKeys = undefined;
    this.#records.set(record.key, record);
    return before;
  }

  /** Returns what stood there. */
  remove(key: string): ObjectRecord | undefined {
    const before = this.#records.get(key);
    if (this.#records.delete(key)) this.#sortedKeys = undefined;
    return before;
  }

  get totals(): { objects: number; storedBytes: number } {
    const sizes = [...this.#records.values()].map((record) => record.sizeBytes);
    return { objects: sizes.length, storedBytes: sizes.reduce((sum, size) => sum + size, 0) };
  }
}
