import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { readText, root } from "./composeFile.ts";

/** One metric, as the code registers it. */
interface Registered {
  readonly name: string;
  readonly kind: string;
  readonly labels: readonly string[];
}

const REGISTERS =
  /\.(counter|gauge|histogram)\(\s*"(comfyq_[a-z0-9_]+)",\s*"(?:[^"\\]|\\.)*",?\s*(?:\[([^\]]*)\]|\{\s*(?:labels: \[([^\]]*)\])?[^)]*\})?/g;

/** Every metric of ours: they are registered in the sources of apps and of runtime, and nowhere else. */
const registered: readonly Registered[] = sourceFiles().flatMap((path) =>
  [...readText(path).matchAll(REGISTERS)].map(([, kind = "", name = "", labels, shaped]) => ({
    name,
    kind,
    labels: [...(labels ?? shaped ?? "").matchAll(/"(\w+)"/g)].map((match) => match[1] ?? ""),
  })),
);
const names = new Set([...registered.map(({ name }) => name), "comfyq_scrape_failures_total"]);

function sourceFiles(): readonly string[] {
  const rooms = ["api", "worker", "dispatcher"].map((app) => `apps/${app}/src`);
  return rooms.flatMap((room) =>
    readdirSync(`${root}/${room}`, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => `${room}/${file}`),
  );
}

/** Names of metrics in a query, without the suffixes of a histogram. */
function namesIn(query: string): readonly string[] {
  return (query.match(/\bcomfyq_[a-z0-9_]+/g) ?? []).map((name) => name.replace(/_(?:bucket|count|sum)$/, ""));
}

/** Every query, wherever it stands in a dashboard or in rules. */
function queriesIn(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(queriesIn);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === "expr" && typeof inner === "string" ? [inner] : queriesIn(inner),
  );
}

test("each metric is found in the sources, and there are many", () => {
  expect(names.size).toBeGreaterThan(25);
});

test("every panel of the dashboard asks for metrics that there are, and every metric is on it or in an alert", () => {
  const dashboard = queriesIn(JSON.parse(readText("infra/grafana/comfyq.json")));
  const alerts = queriesIn(parse(readText("infra/prometheus/comfyq.rules.yml")));
  expect(alerts.length).toBeGreaterThan(10);
  const asked = [...dashboard, ...alerts].flatMap(namesIn);
  expect(asked.length).toBeGreaterThan(40);
  expect(asked.filter((name) => !names.has(name))).toEqual([]);
  const untold = [...names].filter((name) => !asked.includes(name));
  expect(untold.filter((name) => !/^comfyq_worker_model/.test(name))).toEqual([]); // of those that bring models only
});

test("metrics.md tells of each metric, with its kind and labels, and of no other", () => {
  const rows = [...readText("infra/docs/metrics.md").matchAll(/^\| `(comfyq_\w+)` +\| (\w+) +\| ([^|]*?) +\|/gm)];
  const told = rows.map(([, name, kind, labels = ""]) => [name, kind, (labels.match(/`\w+`/g) ?? []).join()].join(" "));
  const there = registered.map(({ name, kind, labels }) =>
    [name, kind, labels.map((label) => `\`${label}\``)].join(" "),
  );
  expect(told.toSorted()).toEqual([...there, "comfyq_scrape_failures_total counter `source`"].toSorted());
});
