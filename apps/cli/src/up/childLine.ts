/** What one line of a process's output means to us. */
export type ChildLine =
  | { readonly kind: "ready"; readonly facts: Readonly<Record<string, unknown>> }
  | { readonly kind: "log"; readonly isWarning: boolean; readonly text: string };

const WARNINGS: ReadonlySet<unknown> = new Set(["warn", "error", "fatal"]);

/** What does not fit on a terminal is in the log. */
const LONGEST_VALUE = 200;

/** Fields that the line has anyway, or that say nothing on a terminal. */
const QUIET_FIELDS: ReadonlySet<string> = new Set(["level", "time", "name", "pid", "msg"]);

/**
 * Reads a line: the ready line (a JSON object with `ready` or, from the simulator, `url`), a JSON log line, or plain text.
 * @param stream plain text on standard error is a warning: what a process prints there by hand, or when it falls over
 */
export function readChildLine(line: string, stream: "stdout" | "stderr"): ChildLine {
  const fields = asObject(line);
  if (!fields) return { kind: "log", isWarning: stream === "stderr" && line.trim() !== "", text: line };
  if (fields["level"] === undefined && ("ready" in fields || "url" in fields)) return { kind: "ready", facts: fields };
  return { kind: "log", isWarning: WARNINGS.has(fields["level"]), text: readable(fields) };
}

function asObject(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined; // it starts with {
  } catch {
    return undefined;
  }
}

function readable(fields: Readonly<Record<string, unknown>>): string {
  const words = typeof fields["msg"] === "string" ? fields["msg"] : "";
  const rest = Object.entries(fields)
    .filter(([name]) => !QUIET_FIELDS.has(name))
    .map(([name, value]) => (isError(value) ? `(${value.message})` : `${name}=${shortText(value)}`));
  return [String(fields["level"]), words, ...rest].join(" ");
}

/** An error in a log line is an object with a stack; what a terminal shows of it is the message. */
function isError(value: unknown): value is { readonly message: string } {
  return typeof value === "object" && value !== null && "message" in value && typeof value.message === "string";
}

function shortText(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}
