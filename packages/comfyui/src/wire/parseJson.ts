/**
 * Parses JSON as Python writes it. `json.dumps` writes bare `NaN`, `Infinity` and `-Infinity`, and ComfyUI sends them:
 * a node whose IS_CHANGED returns NaN (the usual "never cache me") leaves one in its history entry, and inputs declare
 * `"max": Infinity`. NaN becomes null, as `JSON.stringify` would have it; the infinities become numbers.
 * @throws SyntaxError when it is not JSON even so
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const mended = text.replace(STRING_OR_CONSTANT, (token) => CONSTANTS[token] ?? token);
    if (mended === text) throw cause;
    return JSON.parse(mended);
  }
}

// Strings are matched first, so that a "NaN" inside one is left alone.
const STRING_OR_CONSTANT = /"(?:[^"\\]|\\.)*"|-?Infinity|NaN/gs;

const CONSTANTS: Readonly<Record<string, string>> = { NaN: "null", Infinity: "1e999", "-Infinity": "-1e999" };
