import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const here = (path: string) => new URL(path, import.meta.url).pathname;

test("the example in the README runs", async () => {
  const example = /```ts\n([\s\S]*?)```/.exec(await readFile(here("../README.md"), "utf8"))?.[1];
  expect(example).toContain("assert");
  const file = here(`.readme-example.${process.pid}.ts`);
  await writeFile(file, example ?? "");
  try {
    await promisify(execFile)(here("../../../node_modules/.bin/node"), ["--conditions=@comfyq/source", file]);
  } finally {
    await rm(file);
  }
});
