/** Whether a parsed JSON value is an object (not null, not an array). */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A Python exception: `type` is the class path as ComfyUI reports it (`ValueError`, `torch.OutOfMemoryError`). */
export class PythonError extends Error {
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.name = "PythonError";
    this.type = type;
  }
}

/** `repr(value)` of a value that came as JSON. Whole floats look like integers here: JSON's 1.0 is 1 in JavaScript. */
export function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(", ")}]`;
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (!isObject(value)) return `<${typeof value} object>`; // nothing that came as JSON
  return `{${Object.entries(value)
    .map(([key, entry]) => `${quoted(key)}: ${pythonRepr(entry)}`)
    .join(", ")}}`;
}

/** `str(value)` of a value that came as JSON. */
export const pythonStr = (value: unknown): string => (typeof value === "string" ? value : pythonRepr(value));

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/\r/g, "\\r").replace(/\t/g, "\\t");
  return `${quote}${quote === "'" ? escaped.replace(/'/g, "\\'") : escaped}${quote}`;
}

/** `int(value)`. @throws PythonError `ValueError` or `TypeError` with Python's text */
export function pythonInt(value: unknown): number {
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "number") return Math.trunc(value);
  if (typeof value !== "string") {
    throw new PythonError(
      "TypeError",
      `int() argument must be a string, a bytes-like object or a real number, not '${typeName(value)}'`,
    );
  }
  if (!/^\s*[+-]?\d+(_\d+)*\s*$/.test(value)) {
    throw new PythonError("ValueError", `invalid literal for int() with base 10: ${quoted(value)}`);
  }
  return Number(value.replaceAll("_", ""));
}

/** `float(value)`. @throws PythonError `ValueError` or `TypeError` with Python's text */
export function pythonFloat(value: unknown): number {
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "number") return value;
  if (typeof value !== "string") {
    throw new PythonError("TypeError", `float() argument must be a string or a real number, not '${typeName(value)}'`);
  }
  const number = Number(value);
  if (value.trim() === "" || Number.isNaN(number)) {
    throw new PythonError("ValueError", `could not convert string to float: ${quoted(value)}`);
  }
  return number;
}

/** `bool(value)`: empty things and zero are false, every other string is true, `"false"` too. */
export function pythonBool(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return "NoneType";
  return Array.isArray(value) ? "list" : "dict";
}
