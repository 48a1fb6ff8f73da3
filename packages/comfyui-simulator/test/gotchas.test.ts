import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const here = new URL(".", import.meta.url);

/** `number → name` of every test that is named after a behaviour. */
function testsByNumber(): Map<number, string> {
  const names = readdirSync(here)
    .filter((file) => file.endsWith("Gotchas.test.ts"))
    .flatMap((file) => [...readFileSync(new URL(file, here), "utf8").matchAll(/^test\(\s*"(gotcha (\d+): [^"]+)"/gm)]);
  return new Map(names.map(([, name = "", number]) => [Number(number), name]));
}

/** The table's rows: number and what stands in the last column. */
function rows(): (readonly [number, string])[] {
  const table = readFileSync(new URL("../GOTCHAS.md", here), "utf8");
  return [...table.matchAll(/^\| (\d+) +\|.*\| ([^|]+) \|$/gm)].map(([, number, last = ""]) => [
    Number(number),
    last.trim(),
  ]);
}

test("GOTCHAS.md lists all 50 behaviours, each with the test that bears its number, or why there is none", () => {
  const tests = testsByNumber();
  expect(rows().map(([number]) => number)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
  for (const [number, last] of rows()) {
    expect(last.startsWith("not reproduced: ") ? undefined : last).toBe(tests.get(number));
  }
});
