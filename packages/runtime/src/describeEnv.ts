import { z } from "zod";

/** One setting, as `--help` and the tables of the READMEs show it. */
export interface EnvEntry {
  readonly name: string;
  /** One sentence, from `.describe()`. */
  readonly description: string;
  /** What to write: `string`, `integer ≥ 1`, `url`, `boolean`, or the choices `debug | info | warn`. */
  readonly type: string;
  /** Allowed values, when they can be listed. */
  readonly choices?: readonly string[];
  /** What holds when it is not set; absent when it is required, or optional without a default. */
  readonly default?: string;
  readonly required: boolean;
}

/** All settings of a schema, in its order. */
export function describeEnv(schema: z.ZodObject): readonly EnvEntry[] {
  return Object.entries(schema.shape).map(([name, field]) => describeField(name, field));
}

function describeField(name: string, field: z.core.$ZodType): EnvEntry {
  const facts = z.toJSONSchema(field, { io: "input", unrepresentable: "any" });
  const unset = z.safeParse(field, undefined);
  const fallback = facts.default ?? (unset.success ? unset.data : undefined);
  const choices = facts.enum?.map(String);
  return {
    name,
    description: facts.description ?? "",
    type: choices ? choices.join(" | ") : typeWords(facts, fallback),
    ...(choices ? { choices } : {}),
    ...(fallback === undefined ? {} : { default: asText(fallback) }),
    required: !unset.success,
  };
}

function typeWords(facts: z.core.JSONSchema.BaseSchema, fallback: unknown): string {
  if (typeof fallback === "boolean") return "boolean"; // z.stringbool() reads a string, as far as JSON Schema can tell
  const bounds = [
    facts.minimum === undefined ? "" : ` ≥ ${facts.minimum}`,
    facts.maximum === undefined || facts.maximum === Number.MAX_SAFE_INTEGER ? "" : ` ≤ ${facts.maximum}`,
  ];
  const word = facts.format === "uri" ? "url" : typeof facts.type === "string" ? facts.type : "string";
  return word + bounds.join("");
}

function asText(value: unknown): string {
  return Array.isArray(value) ? value.map(String).join(",") : String(value);
}

/** The settings as lines of text for a terminal: name and type, then what it does and its default. */
export function envTable(entries: readonly EnvEntry[]): string {
  const line = (entry: EnvEntry): string => {
    const fallback = entry.default ? ` (default: ${entry.default})` : entry.required ? " (required)" : "";
    return `${entry.name}  <${entry.type}>\n    ${entry.description}${fallback}`;
  };
  const intro = "Settings, as environment variables or (but for secrets) as flags: NAME_OF_ONE is --name-of-one.";
  return [intro, ...entries.map(line)].join("\n\n");
}
