import { BATCH_LIMITS } from "@comfyq/contract";
import { ApiError, type Fault } from "../errors.ts";

/** What is wrong with the rows of a batch: all of it is counted, and so much named as can be read. */
export class RowFaults {
  readonly #faults: Fault[] = [];
  readonly #seen = new Map<string, number>();
  #count = 0;

  /** @param row from 0; undefined when it is about all of them */
  note(row: number | undefined, field: string, message: string): void {
    this.#count += 1;
    const where = row === undefined ? ["rows"] : ["rows", String(row)];
    if (this.#faults.length < BATCH_LIMITS.faults)
      this.#faults.push({ path: [...where, field].filter((part) => part !== "").join("."), message });
  }

  /** A fault that every row has in the same field is named once, with the first row that has it. */
  noteOnce(row: number, field: string, message: string): void {
    const key = `${field}\n${message}`;
    const before = this.#seen.get(key) ?? 0;
    this.#seen.set(key, before + 1);
    if (before === 0) this.note(row, field, message);
  }

  /** @throws ApiError `invalid_request` with every fault that was noted, when there is one */
  refuse(): void {
    if (this.#count === 0) return;
    const more = this.#count - this.#faults.length;
    const named = more > 0 ? `; the first ${this.#faults.length} are named, and there are ${more} more` : "";
    const [first] = this.#faults;
    const [what] = first ? [`: ${first.path} ${first.message}`] : [""];
    throw new ApiError("invalid_request", `Nothing was queued, because some rows are wrong${what}${named}`, {
      details: this.#faults,
    });
  }
}
