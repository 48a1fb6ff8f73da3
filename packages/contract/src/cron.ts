/** A cron rule, read: which seconds, minutes … it names, each sorted. */
export interface CronFields {
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** 1 to 31. */
  readonly days: readonly number[];
  /** `L`: the last day of a month, too. */
  readonly lastDay: boolean;
  /** 1 to 12. */
  readonly months: readonly number[];
  /** 0 (Sunday) to 6. */
  readonly weekdays: readonly number[];
  /** Do days of the month, and of the week, count? When both do, either is enough, as in every cron. */
  readonly namesDays: boolean;
  readonly namesWeekdays: boolean;
  /** Does it name no hour? Then it goes on through a change of the clock at its own pace. */
  readonly everyHour: boolean;
}

interface FieldShape {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly words?: readonly string[];
  /** The number of the first of `words`. */
  readonly firstWord?: number;
}

const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const SHAPES = {
  second: { name: "second", min: 0, max: 59 },
  minute: { name: "minute", min: 0, max: 59 },
  hour: { name: "hour", min: 0, max: 23 },
  day: { name: "day of the month", min: 1, max: 31 },
  month: { name: "month", min: 1, max: 12, words: MONTHS, firstWord: 1 },
  weekday: { name: "day of the week", min: 0, max: 7, words: WEEKDAYS, firstWord: 0 },
} as const satisfies Readonly<Record<string, FieldShape>>;

const SHORTHANDS: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

/** A cron rule that cannot be read; the message begins with what is wrong, and where. */
export class CronError extends Error {
  override readonly name = "CronError";
}

/**
 * Reads a cron rule: `minute hour day month weekday`, with a leading `second` when there are six fields. Lists, ranges, steps,
 * names (`MON-FRI`, `JAN`), 7 for Sunday, `?` for `*`, `L` for the last day of a month, and `@hourly` to `@yearly`.
 * @throws CronError naming the field
 */
export function parseCron(text: string): CronFields {
  const rule = text.trim();
  const parts = (rule.startsWith("@") ? shorthand(rule) : rule).split(/\s+/).filter((part) => part !== "");
  if (parts.length !== 5 && parts.length !== 6)
    throw new CronError(
      `has ${parts.length} field${parts.length === 1 ? "" : "s"}; it takes 5 (minute hour day month weekday) or 6 (second first)`,
    );
  const [second = "0", minute = "", hour = "", day = "", month = "", weekday = ""] =
    parts.length === 6 ? parts : ["0", ...parts];
  const days = day.split(",");
  const numbered = days.filter((item) => item.toUpperCase() !== "L");
  const hours = readField(hour, SHAPES.hour);
  return {
    seconds: readField(second, SHAPES.second),
    minutes: readField(minute, SHAPES.minute),
    hours,
    days: numbered.length === 0 ? [] : readField(numbered.join(","), SHAPES.day),
    lastDay: numbered.length < days.length,
    months: readField(month, SHAPES.month),
    weekdays: sorted(readField(weekday, SHAPES.weekday).map((number) => number % 7)),
    namesDays: !isAny(day),
    namesWeekdays: !isAny(weekday),
    everyHour: hours.length === 24,
  };
}

function shorthand(word: string): string {
  const meant = SHORTHANDS[word.toLowerCase()];
  if (meant !== undefined) return meant;
  throw new CronError(`${JSON.stringify(word)} is not known; there are ${Object.keys(SHORTHANDS).join(", ")}`);
}

function isAny(field: string): boolean {
  return field === "*" || field === "?";
}

function readField(text: string, shape: FieldShape): readonly number[] {
  return sorted(text.split(",").flatMap((item) => readItem(item, shape)));
}

/** `*`, `5`, `1-5`, each with `/2` behind it. A number with a step runs to the end: `10/20` is 10, 30, 50. */
function readItem(item: string, shape: FieldShape): readonly number[] {
  const [, base = "", stepText] = /^([^/]*)(?:\/(.*))?$/.exec(item) ?? [];
  const step = stepText === undefined ? 1 : Number(/^\d+$/.test(stepText) ? stepText : Number.NaN);
  if (!(step >= 1)) throw fault(item, shape, "its step must be a whole number from 1");
  const { first, last } = rangeOf(base, item, { shape, hasStep: stepText !== undefined });
  if (first > last) throw fault(item, shape, "its range runs backwards; write two, such as 22-23,0-5");
  const numbers: number[] = [];
  for (let number = first; number <= last; number += step) numbers.push(number);
  return numbers;
}

interface RangeReading {
  readonly shape: FieldShape;
  readonly hasStep: boolean;
}

function rangeOf(base: string, item: string, { shape, hasStep }: RangeReading) {
  if (isAny(base)) return { first: shape.min, last: shape.name === SHAPES.weekday.name ? 6 : shape.max };
  const [from = "", to, ...more] = base.split("-");
  if (more.length > 0) throw fault(item, shape, "it is neither a number nor a range");
  const first = readNumber(from, item, shape);
  if (to !== undefined) return { first, last: readNumber(to, item, shape) };
  return { first, last: hasStep ? shape.max : first };
}

function readNumber(text: string, item: string, shape: FieldShape): number {
  const word = shape.words?.indexOf(text.toUpperCase()) ?? -1;
  if (word >= 0) return word + (shape.firstWord ?? 0);
  const number = /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= shape.min && number <= shape.max) return number;
  const names = shape.words ? ` or ${shape.words[0]} to ${shape.words.at(-1)}` : "";
  throw fault(item, shape, `it takes ${shape.min} to ${shape.max}${names}`);
}

function fault(item: string, { name }: FieldShape, why: string): CronError {
  return new CronError(`has ${JSON.stringify(item.slice(0, 40))} as its ${name}; ${why}`);
}

function sorted(numbers: readonly number[]): readonly number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}
