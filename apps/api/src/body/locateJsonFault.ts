/** Where a text stops being JSON. */
export interface JsonFault {
  readonly line: number;
  /** From 1, counted in characters. */
  readonly column: number;
  /** What could have stood there, in words. */
  readonly expected: string;
  /** What stands there: one character, quoted, or the end. */
  readonly found: string;
}

type Wanted = "value" | "value or ]" | "name or }" | "name" | ":" | ", or ]" | ", or }" | "the end";

const IN_WORDS: Readonly<Record<Wanted, string>> = {
  value: "a value",
  "value or ]": "a value or ]",
  "name or }": "a name in double quotes, or }",
  name: "a name in double quotes (and no comma before a closing })",
  ":": "a colon",
  ", or ]": "a comma or ]",
  ", or }": "a comma or }",
  "the end": "nothing more",
};

const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const SPACE = /[ \t\r\n]*/y;

/**
 * Finds the first place where a text is no JSON: JSON.parse tells the place of some mistakes only. Asked for texts that
 * JSON.parse refused; walks without recursion.
 */
export function locateJsonFault(text: string): JsonFault {
  const open: ("[" | "{")[] = [];
  let wanted: Wanted = "value";
  let at = 0;
  for (;;) {
    at = skip(SPACE, text, at);
    const step = stepOver(text, at, { wanted, open });
    if (!step) return { ...placeOf(text, at), expected: IN_WORDS[wanted] };
    if (step.fault) return { ...placeOf(text, step.at), expected: step.fault };
    at = step.at;
    wanted = step.wanted;
  }
}

interface Place {
  readonly wanted: Wanted;
  readonly open: ("[" | "{")[];
}

interface Step {
  readonly at: number;
  readonly wanted: Wanted;
  readonly fault?: string;
}

/** One token further; undefined where the text does not have what is wanted. */
function stepOver(text: string, at: number, { wanted, open }: Place): Step | undefined {
  const sign = text[at] ?? "";
  const after = (): Wanted => (open.length === 0 ? "the end" : open.at(-1) === "[" ? ", or ]" : ", or }");
  if (wanted === ":") return sign === ":" ? { at: at + 1, wanted: "value" } : undefined;
  if (sign === "," && wanted.startsWith(",")) return { at: at + 1, wanted: open.at(-1) === "[" ? "value" : "name" };
  if ((sign === "]" || sign === "}") && wanted.endsWith(sign)) {
    open.pop();
    return { at: at + 1, wanted: after() };
  }
  const isName = wanted.startsWith("name");
  if (!isName && !wanted.startsWith("value")) return undefined;
  if (sign === '"') return stepOverString(text, at, isName ? ":" : after());
  if (isName) return undefined;
  if (sign === "[" || sign === "{") {
    open.push(sign);
    return { at: at + 1, wanted: sign === "[" ? "value or ]" : "name or }" };
  }
  const end = skip(SCALAR, text, at);
  return end === at ? undefined : { at: end, wanted: after() };
}

function stepOverString(text: string, start: number, wanted: Wanted): Step {
  for (let at = start + 1; at < text.length; at += 1) {
    const sign = text[at] ?? "";
    if (sign === '"') return { at: at + 1, wanted };
    if (sign < " ") return { at, wanted, fault: "no line break or control character inside a string (write \\n)" };
    if (sign !== "\\") continue;
    const [escaped] = /^(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(text.slice(at + 1, at + 6)) ?? [];
    if (!escaped) return { at, wanted, fault: 'an escape that JSON knows (\\", \\\\, \\n, \\u0041 …)' };
    at += escaped.length;
  }
  return { at: start, wanted, fault: "a closing quote for the string that begins here" };
}

function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return at + (pattern.exec(text)?.[0].length ?? 0);
}

function placeOf(text: string, at: number): Omit<JsonFault, "expected"> {
  const before = text.slice(0, at);
  const [found] = text.slice(at, at + 2);
  return {
    line: before.split("\n").length,
    column: at - before.lastIndexOf("\n"),
    found: found === undefined ? "the end of the text" : JSON.stringify(found),
  };
}
