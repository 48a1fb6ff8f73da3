import type * as z from "zod";
import { closestName } from "../closestName.ts";
import type { Fault } from "../errors.ts";

/**
 * zod's issues in the words of somebody who writes a request: every wrong field, by its path.
 * @param known names of the fields at the top, to guess what a misspelt one means
 */
export function zodFaults(error: z.ZodError, known: Iterable<string> = []): readonly Fault[] {
  const names = [...known];
  return error.issues.flatMap(meantIssues).flatMap((issue) => {
    const path = issue.path.map(String);
    if (issue.code !== "unrecognized_keys") return [{ path: path.join("."), message: messageOf(issue) }];
    return issue.keys.map((key) => ({
      path: [...path, key].join("."),
      message: `is not a field here${path.length === 0 ? guess(key, names) : ""}`,
    }));
  });
}

/** Where one of several forms is taken: what is wrong with the one that was meant, the one whose kind of value it is. */
function meantIssues(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const meant = issue.errors.filter(
    (faults) => !faults.some(({ code, path }) => code === "invalid_type" && path.length === 0),
  );
  const [only] = meant;
  if (!only || meant.length > 1) return [{ ...issue, message: "is of a kind that is not taken here; see /docs" }];
  return only.flatMap((fault) => meantIssues({ ...fault, path: [...issue.path, ...fault.path] }));
}

/** Words of other APIs for what we call otherwise. */
const SYNONYMS: Readonly<Record<string, string>> = { prompt: "workflow", webhook_url: "webhook", callback: "webhook" };

function guess(key: string, names: readonly string[]): string {
  const meant = (Object.hasOwn(SYNONYMS, key) ? SYNONYMS[key] : undefined) ?? closestName(key, names);
  return meant !== undefined && names.includes(meant)
    ? `; did you mean ${meant}?`
    : "; it would have been ignored, so it is refused";
}

const KINDS: Readonly<Record<string, string>> = {
  record: "an object",
  object: "an object",
  array: "a list",
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
};

function messageOf(issue: z.core.$ZodIssue): string {
  // Codes that our schemas cannot raise, or whose own words are ours already, keep them.
  switch (issue.code) {
    case "invalid_type":
      return /received undefined$/.test(issue.message)
        ? `is missing; it must be ${KINDS[issue.expected] ?? issue.expected}`
        : `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case "too_small":
      return issue.origin === "number" || issue.origin === "int"
        ? `must be at least ${issue.minimum}`
        : `must not be shorter than ${issue.minimum}`;
    case "too_big":
      return issue.origin === "number" || issue.origin === "int"
        ? `must be at most ${issue.maximum}`
        : `must not be longer than ${issue.maximum}`;
    case "invalid_value":
      return `must be one of ${issue.values.map(String).join(", ")}`;
    case "invalid_key":
      return `has a name that is not allowed: ${issue.issues.map((inner) => messageOf(inner)).join(", ")}`;
    case "invalid_format":
      return formatMessage(issue.format, issue.message);
    case "custom":
    case "invalid_element":
    case "invalid_union":
    case "not_multiple_of":
    case "unrecognized_keys":
      return issue.message;
  }
}

function formatMessage(format: string, message: string): string {
  if (format === "datetime") return "must be a moment such as 2026-12-01T09:00:00Z (RFC 3339)";
  if (format === "url") return "must be an http:// or https:// URL";
  return message.replace(/^Invalid string: /, "");
}
