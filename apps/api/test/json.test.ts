import { canonicalJson } from "@comfyq/contract";
import { describe, expect, test } from "vitest";
import { locateJsonFault } from "../src/body/locateJsonFault.ts";
import { parseJson } from "../src/body/parseJson.ts";
import { scanJson } from "../src/body/scanJson.ts";

const SAMPLE = '{"a": [1, -2.5e3, "x\\"\\u00e9\\\\", null], "b": {"c": {}, "d": [], "e": true}, "f": false}';
const ENDLESS = { depth: 1_000, values: 1_000_000 };
const isJson = (text: string) => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

describe("the place of a mistake", () => {
  test("is found in every text that JSON.parse refuses, and in none that it takes", () => {
    const texts = [SAMPLE];
    for (let at = 0; at <= SAMPLE.length; at += 1) {
      texts.push(SAMPLE.slice(0, at), SAMPLE.slice(0, at) + SAMPLE.slice(at + 1));
      for (const sign of ['"', ",", "}", "]", "[", ":", "\\", "7", "\n", "x"])
        texts.push(SAMPLE.slice(0, at) + sign + SAMPLE.slice(at));
    }
    for (const text of texts) {
      const { found, expected } = locateJsonFault(text);
      const tookAll = found === "the end of the text" && expected === "nothing more";
      expect([text, tookAll]).toEqual([text, isJson(text)]);
    }
  });

  test.each([
    ["hello", 1, 1, '"h"', "a value"],
    ["[1,]", 1, 4, '"]"', "a value"],
    ["{'a': 1}", 1, 2, '"\'"', "a name in double quotes, or }"],
    ['{\n  "a" 1}', 2, 7, '"1"', "a colon"],
    ['["a\nb"]', 1, 4, '"\\n"', "no line break or control character inside a string (write \\n)"],
    ['["a\\q"]', 1, 4, '"\\\\"', 'an escape that JSON knows (\\", \\\\, \\n, \\u0041 …)'],
    ['["open', 1, 2, '"\\""', "a closing quote for the string that begins here"],
    ["{} {}", 1, 4, '"{"', "nothing more"],
    ["01", 1, 2, '"1"', "nothing more"],
  ])("%j is wrong at line %i, column %i", (text, line, column, found, expected) => {
    expect(locateJsonFault(text)).toEqual({ line, column, found, expected });
  });
});

describe("measuring before parsing", () => {
  test("brackets, commas and quotes inside strings do not count", () => {
    const text = JSON.stringify({ a: `${"[{,".repeat(1_000)}\\"\\`, b: "\\" });
    expect(scanJson(Buffer.from(text), ENDLESS)).toEqual({ depth: 1, values: 2 });
    expect(parseJson(Buffer.from(text), "{}")).toEqual(JSON.parse(text));
  });

  test("never counts fewer values than there are, nor more than twice as many", () => {
    const countValues = (value: unknown): number =>
      typeof value === "object" && value !== null
        ? 1 + Object.values(value).reduce<number>((sum, inner) => sum + countValues(inner), 0)
        : 1;
    for (const value of [{}, [], [[], {}], { a: [1, 2, { b: [3] }] }, JSON.parse(SAMPLE)]) {
      const { values } = scanJson(Buffer.from(JSON.stringify(value)), ENDLESS);
      expect(values).toBeGreaterThanOrEqual(countValues(value) / 2);
      expect(values).toBeLessThanOrEqual(2 * countValues(value));
    }
  });

  test("stops as soon as a limit is passed", () => {
    const endless = Buffer.from("[".repeat(1_000_000));
    expect(scanJson(endless, { depth: 64, values: 100 })).toEqual({ depth: 65, values: 65 });
  });
});

describe("canonical JSON", () => {
  test("is the same for the same value in any order, is JSON, and differs for other values", () => {
    const one = { b: [1, { d: null, c: "é\n" }], a: 1 };
    const other = { a: 1, b: [1, { c: "é\n", d: null }] };
    expect(canonicalJson(one)).toBe(canonicalJson(other));
    expect(JSON.parse(canonicalJson(one))).toEqual(one);
    expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
    expect(canonicalJson({ a: "1" })).not.toBe(canonicalJson({ a: 1 }));
  });
});
