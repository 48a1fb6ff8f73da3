import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

/** The root of the repository. */
export const root = join(import.meta.dirname, "../..");

/** Reads a text file of the repository. */
export function readText(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** What the tests look at in one service; everything else stays unread. */
export interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string; readonly target: string };
  readonly profiles?: readonly string[];
  readonly restart?: string;
  readonly init?: boolean;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly networks?: readonly string[] | Readonly<Record<string, unknown>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly unknown[];
  readonly environment?: Readonly<Record<string, string | null>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
  readonly deploy?: {
    readonly resources?: {
      readonly limits?: { readonly cpus?: string; readonly memory?: string; readonly pids?: number };
    };
  };
}

/** The compose file as `docker compose config` would show it. */
export interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

/**
 * Parses compose YAML, resolves anchors and fills in its variables.
 * @throws Error naming the variable for `${NAME:?…}` that is not set
 */
export function parseCompose(text: string, env: Readonly<Record<string, string>>): Compose {
  const tree: unknown = parse(text, { merge: true });
  // The shape is what the schema test of this folder asserts; here it only gives the fields names.
  return fillIn(tree, env) as Compose;
}

function fillIn(value: unknown, env: Readonly<Record<string, string>>): unknown {
  if (typeof value === "string") return interpolate(value, env);
  if (Array.isArray(value)) return value.map((item) => fillIn(item, env));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, fillIn(child, env)]));
}

/** `${NAME}`, `${NAME:-default}` and `${NAME:?message}`, innermost first as they nest; `$$` is a dollar. */
function interpolate(text: string, env: Readonly<Record<string, string>>): string {
  const innermost = /(?<!\$)\$\{(\w+)(?:(:-|:\?)([^${}]*))?\}/;
  let filled = text;
  for (let found = innermost.exec(filled); found; found = innermost.exec(filled)) {
    const [whole, name = "", operator, rest = ""] = found;
    const given = env[name] || undefined;
    if (given === undefined && operator === ":?") throw new Error(`${name}: ${rest}`);
    filled = filled.replace(whole, () => given ?? (operator === ":-" ? rest : ""));
  }
  return filled.replaceAll("$$", "$");
}

/** Every `${NAME}` and every name without a value: what can be set from outside. */
export function variablesOf(text: string): readonly string[] {
  const named = [...text.matchAll(/(?<!\$)\$\{(\w+)/g)].map((match) => match[1] ?? "");
  const passedOn = [...text.matchAll(/^\s+([A-Z][A-Z0-9_]+):\s*$/gm)].map((match) => match[1] ?? "");
  return [...new Set([...named, ...passedOn])];
}
