const formatters = new Map<string, Intl.DateTimeFormat>();
const offsets = new Map<string, Map<number, number>>();

/** Changes of every zone since 2000 fall on quarters of an hour, so one answer holds for each. */
const QUARTER_MS = 900_000;
const REMEMBERED_QUARTERS = 4_096;
const REMEMBERED_ZONES = 1_024;

/** How far the zone's clocks are ahead of UTC at this moment, in ms. */
export function offsetAt(zone: string, atMs: number): number {
  if (zone === "UTC") return 0;
  if (offsets.size > REMEMBERED_ZONES) offsets.clear();
  const known = offsets.get(zone) ?? new Map<number, number>();
  offsets.set(zone, known);
  const quarter = Math.floor(atMs / QUARTER_MS);
  const remembered = known.get(quarter);
  if (remembered !== undefined) return remembered;
  if (known.size > REMEMBERED_QUARTERS) known.clear();
  const offset = readOffset(zone, atMs);
  known.set(quarter, offset);
  return offset;
}

/** `GMT`, `GMT+01:00` or `GMT-00:44:30`. */
function readOffset(zone: string, atMs: number): number {
  const text = formatterFor(zone).format(atMs);
  const [, sign, hours, minutes, seconds] = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(text) ?? [];
  const size = (Number(hours ?? 0) * 3_600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0)) * 1_000;
  return sign === "-" ? -size : size;
}

function formatterFor(zone: string): Intl.DateTimeFormat {
  if (formatters.size > REMEMBERED_ZONES) formatters.clear();
  const known = formatters.get(zone);
  const formatter = known ?? new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
  formatters.set(zone, formatter);
  return formatter;
}

/** Two changes of one zone are weeks apart (Morocco's, around Ramadan, are the nearest). */
const LOOK_EVERY_MS = 7 * 86_400_000;

/** The first moment after `fromMs`, up to and with `toMs`, at which the zone's clocks are set; undefined when they are not. */
export function changeBetween(zone: string, fromMs: number, toMs: number): number | undefined {
  if (zone === "UTC") return undefined;
  for (let at = fromMs; at < toMs; at += LOOK_EVERY_MS) {
    const next = Math.min(at + LOOK_EVERY_MS, toMs);
    if (offsetAt(zone, at) !== offsetAt(zone, next)) return halve(zone, at, next);
  }
  return undefined;
}

/** To the second: nobody sets clocks in between. */
function halve(zone: string, beforeMs: number, afterMs: number): number {
  const before = offsetAt(zone, beforeMs);
  let [low, high] = [Math.floor(beforeMs / 1_000), Math.ceil(afterMs / 1_000)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(zone, middle * 1_000) === before) low = middle;
    else high = middle;
  }
  return high * 1_000;
}
