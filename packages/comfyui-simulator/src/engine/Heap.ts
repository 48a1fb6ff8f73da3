/**
 * A heap with the exact array order of Python's heapq, because `GET /queue` shows that array
 * (reference/comfyui-protocol.md §1.2).
 */
export class Heap<Item> {
  #items: Item[] = [];
  readonly #isLess: (one: Item, other: Item) => boolean;

  constructor(isLess: (one: Item, other: Item) => boolean) {
    this.#isLess = isLess;
  }

  /** The items in heap order, not sorted. */
  get items(): readonly Item[] {
    return this.#items;
  }

  /** @param isLess another comparison for this push; the item is already in when it throws */
  push(item: Item, isLess = this.#isLess): void {
    this.#items.push(item);
    this.#rise(0, this.#items.length - 1, isLess);
  }

  pop(): Item | undefined {
    const last = this.#items.pop();
    const first = this.#items[0];
    if (last === undefined || first === undefined) return last;
    this.#items[0] = last;
    this.#sink(0);
    return first;
  }

  /** Replaces everything, and puts it in heap order. */
  reset(items: readonly Item[]): void {
    this.#items = [...items];
    for (let at = Math.floor(items.length / 2) - 1; at >= 0; at--) this.#sink(at);
  }

  #rise(top: number, from: number, isLess: (one: Item, other: Item) => boolean): void {
    const item = this.#at(from);
    let place = from;
    while (place > top) {
      const parent = (place - 1) >> 1;
      if (!isLess(item, this.#at(parent))) break;
      this.#items[place] = this.#at(parent);
      place = parent;
      this.#items[place] = item; // at every step: a comparison that throws must not lose it
    }
  }

  /** Moves the smaller child up until the bottom is reached, then lets the item rise: heapq's own way. */
  #sink(from: number): void {
    const item = this.#at(from);
    const end = this.#items.length;
    let place = from;
    for (let child = 2 * place + 1; child < end; child = 2 * place + 1) {
      const right = child + 1;
      const smaller = right < end && !this.#isLess(this.#at(child), this.#at(right)) ? right : child;
      this.#items[place] = this.#at(smaller);
      place = smaller;
    }
    this.#items[place] = item;
    this.#rise(from, place, this.#isLess);
  }

  #at(place: number): Item {
    const item = this.#items[place];
    if (item === undefined) throw new RangeError(`the heap has no place ${place}`);
    return item;
  }
}
