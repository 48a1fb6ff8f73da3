import type { QueueRoom } from "./room.ts";

/** One entry of an index by creation. */
export interface Place {
  readonly createdAtMs: number;
  readonly id: string;
}

/** The part of an index, by the moments its entries were made, that a query is about. */
export interface Stretch {
  readonly index: string;
  /** As ZRANGE takes bounds. */
  readonly from: string;
  readonly to: string;
}

/** Moments in Unix ms: the first that is wanted, and the first that is not any more. */
interface Span {
  readonly createdAfterMs?: number | undefined;
  readonly createdBeforeMs?: number | undefined;
}

export function stretchOf(index: string, { createdAfterMs, createdBeforeMs }: Span): Stretch {
  return {
    index,
    from: String(createdAfterMs ?? "-inf"),
    to: createdBeforeMs === undefined ? "+inf" : `(${createdBeforeMs}`,
  };
}

/** The next places of the index, newest first. Entries of one millisecond stand in reverse order of their ids. */
export async function placesAfter(
  room: QueueRoom,
  { index, from, to }: Stretch,
  { after, count }: { readonly after: Place | undefined; readonly count: number },
): Promise<Place[]> {
  const places: Place[] = [];
  const max = after?.createdAtMs ?? to;
  for (let offset = 0; places.length < count; offset += count) {
    const flat = await room.redis.zrange(index, max, from, "BYSCORE", "REV", "LIMIT", offset, count, "WITHSCORES");
    for (let at = 0; at < flat.length; at += 2) {
      const place = { id: String(flat[at]), createdAtMs: Number(flat[at + 1]) };
      const isPast = after && place.createdAtMs === after.createdAtMs && place.id >= after.id;
      if (!isPast && places.length < count) places.push(place);
    }
    if (flat.length < count * 2) break;
  }
  return places;
}

/** No cursor when nothing follows, so that a client never fetches an empty last page. */
export async function cursorAt(room: QueueRoom, stretch: Stretch, place: Place): Promise<string | undefined> {
  const [next] = await placesAfter(room, stretch, { after: place, count: 1 });
  return next && Buffer.from(`${place.createdAtMs}:${place.id}`).toString("base64url");
}

/** Could a page have given this? */
export function isCursor(text: string): boolean {
  return parseCursor(text) !== undefined;
}

/** @returns undefined for text that is no cursor of ours: the list then starts at the top */
export function parseCursor(cursor: string | undefined): Place | undefined {
  const [createdAt, id] = Buffer.from(cursor ?? "", "base64url")
    .toString()
    .split(":");
  if (!createdAt || !id || !Number.isFinite(Number(createdAt))) return undefined;
  return { createdAtMs: Number(createdAt), id };
}
