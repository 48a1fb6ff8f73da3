/** What a template may ask about the tick that fills it. */
export interface TickFacts {
  /** The moment as the rule has it, Unix ms. */
  readonly atMs: number;
  readonly timeZone: string;
  /** Which tick of the schedule it is, from 1. */
  readonly count: number;
  /** 0 to 2^53-1; the same for the same schedule and moment. */
  readonly seed: number;
}

const WORDS: Readonly<Record<string, (tick: TickFacts) => string | number>> = {
  date: ({ atMs, timeZone }) => localDate(atMs, timeZone),
  at: ({ atMs }) => new Date(atMs).toISOString(),
  count: ({ count }) => count,
  seed: ({ seed }) => seed,
};

const PLACE = /\{\{\s*tick\.([a-z_]+)\s*\}\}/gi;
const WHOLE = /^\{\{\s*tick\.([a-z_]+)\s*\}\}$/i;

/**
 * The template with every `{{tick.date}}` (of the day, in the schedule's time zone), `{{tick.at}}` (RFC 3339), `{{tick.count}}`
 * and `{{tick.seed}}` filled in. A string that is nothing but a number's place becomes that number, so that
 * `"seed": "{{tick.seed}}"` is what ComfyUI takes. Keys stay as they are, and so do unknown words: see `unknownWords`.
 */
export function fillTemplate<T>(template: T, tick: TickFacts): T {
  return filled(template, tick) as T; // strings may become numbers, which whoever reads it as a job looks at again
}

function filled(value: unknown, tick: TickFacts): unknown {
  if (typeof value === "string") return filledText(value, tick);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => filled(item, tick));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, tick)]));
}

function filledText(text: string, tick: TickFacts): string | number {
  if (!text.includes("{{")) return text;
  const [, only] = WHOLE.exec(text) ?? [];
  if (only !== undefined) return wordFor(only)?.(tick) ?? text;
  return text.replace(PLACE, (place, word: string) => String(wordFor(word)?.(tick) ?? place));
}

function wordFor(name: string) {
  const word = name.toLowerCase();
  return Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
}

/** Places of a template that nothing fills, as paths with what stands there. */
export function unknownWords(
  template: unknown,
  path = "",
): readonly { readonly path: string; readonly word: string }[] {
  if (typeof template === "string")
    return [...template.matchAll(PLACE)]
      .map(([, word = ""]) => word)
      .filter((word) => !wordFor(word))
      .map((word) => ({ path, word: `tick.${word}` }));
  if (typeof template !== "object" || template === null) return [];
  return Object.entries(template).flatMap(([key, item]) => unknownWords(item, path === "" ? key : `${path}.${key}`));
}

/** The words that a template may use. */
export const TICK_WORDS = Object.keys(WORDS).map((word) => `tick.${word}`);

function localDate(atMs: number, timeZone: string): string {
  return new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short" }).format(atMs); // Sweden writes 2026-11-27
}
