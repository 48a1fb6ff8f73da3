import type * as z from "zod";

/**
 * What is wrong with which field, a line each.
 * @param names how the user gave a field, where that is not its name: `{ tenant: "--tenant" }`
 */
export function faultLines({ issues }: z.ZodError, names: Readonly<Record<string, string>> = {}): string {
  const line = (issue: z.core.$ZodIssue): string => {
    const [field = "", ...rest] = issue.path.map(String);
    return `${[names[field] ?? field, ...rest].join(".")}: ${wordsOf(issue)}`;
  };
  return issues.map(line).join("\n");
}

function wordsOf(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_value") return `must be one of ${issue.values.map(String).join(", ")}`;
  if (issue.code === "invalid_format" && issue.format === "datetime")
    return "must be a moment such as 2027-01-31T09:00:00Z";
  return issue.message;
}
