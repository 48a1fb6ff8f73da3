import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { readText, root } from "./composeFile.ts";

/** Our pages and the most lines each may have: what is longer is not read. */
const PAGES: Readonly<Record<string, number>> = {
  "infra/README.md": 40,
  "infra/docs/ARCHITECTURE.md": 200,
  "infra/docs/operations.md": 120,
  "infra/examples/README.md": 40,
};

/** Targets of relative links, as paths from the root. */
function linksOf(page: string): readonly string[] {
  const targets = [...readText(page).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? "");
  return targets
    .filter((target) => !/^https?:/.test(target))
    .map((target) => join(dirname(page), target.split("#")[0] ?? ""));
}

describe.each(Object.entries(PAGES))("%s", (page, mostLines) => {
  test("is short", () => {
    expect(readText(page).trimEnd().split("\n").length).toBeLessThanOrEqual(mostLines);
  });

  test("links to things that are there", () => {
    expect(linksOf(page).length).toBeGreaterThan(0);
    expect(linksOf(page).filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  test("names settings that a process reads", () => {
    const sources = [
      "packages/runtime/src/sharedSettings.ts",
      "packages/runtime/src/env.ts",
      "docker-compose.yml",
      ...["api", "cli", "dispatcher", "worker"].map((app) => `apps/${app}/src/config.ts`),
    ].map(readText);
    const named = readText(page).match(/\b(COMFYQ|COMFYUI|S3)_[A-Z_]*[A-Z]\b/g) ?? [];
    const unknown = named.filter((name) => !sources.some((source) => source.includes(name)));
    expect(unknown.filter((name) => name !== "COMFYQ_TENANT_SECRET")).toEqual([]); // the reader's own, in an example
  });
});
