import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { readText, root } from "./composeFile.ts";

/** Our pages and the most lines each may have: what is longer is not read. */
const PAGES: Readonly<Record<string, number>> = {
  "infra/README.md": 40,
  "infra/docs/ARCHITECTURE.md": 200,
  "infra/docs/batches.md": 85,
  "infra/docs/cache.md": 65,
  "infra/docs/clouds.md": 110,
  "infra/docs/comfycloud.md": 60,
  "infra/docs/deliveries.md": 80,
  "infra/docs/doors.md": 100,
  "infra/docs/faults.md": 100,
  "infra/docs/limits.md": 75,
  "infra/docs/metrics.md": 100,
  "infra/docs/models.md": 60,
  "infra/docs/operations.md": 125,
  "infra/docs/schedules.md": 80,
  "infra/docs/webhooks.md": 140,
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
      "apps/cli/src/up/settings.ts",
      "docker-compose.yml",
      ...["api", "cli", "dispatcher", "worker"].map((app) => `apps/${app}/src/config.ts`),
    ].map(readText);
    const named = readText(page).match(/\b(COMFYQ|COMFYUI|S3)_[A-Z_]*[A-Z]\b/g) ?? [];
    const unknown = named.filter((name) => !sources.some((source) => source.includes(name)));
    expect(unknown.filter((name) => name !== "COMFYQ_TENANT_SECRET")).toEqual([]); // the reader's own, in an example
  });
});

describe("infra/docs/faults.md", () => {
  const rows = [...readText("infra/docs/faults.md").matchAll(/^\| (\d+)(?:–(\d+))? +\|(.*)$/gm)];

  test("has each of the 74 faults once, in order", () => {
    const numbers = rows.flatMap(([, first, last]) => {
      const from = Number(first);
      return Array.from({ length: Number(last ?? first) - from + 1 }, (_, at) => from + at);
    });
    expect(numbers).toEqual(Array.from({ length: 74 }, (_, at) => at + 1));
  });

  test("names a test that exists, or says that there is none and why", () => {
    const isThere = (name: string) => {
      const [room, file] = name.split("/");
      return ["apps", "packages"].some((floor) => existsSync(join(root, floor, `${room}/test/${file}.test.ts`)));
    };
    const bad = rows.filter(([, , , text = ""]) => {
      const named = [...text.matchAll(/`([\w.-]+\/[\w.-]+)`/g)].map((match) => match[1] ?? "");
      return named.length === 0 ? !/\| none: \w/.test(text) : !named.every(isThere);
    });
    expect(bad.map(([row]) => row)).toEqual([]);
  });
});
