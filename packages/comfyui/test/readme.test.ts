import { execFile } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";

test("the README's example runs", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const example = /^```ts\n(.*?)^```$/ms.exec(readme)?.[1];
  expect(example).toContain("assert");
  const file = new URL(`.readme-example.${process.pid}.ts`, import.meta.url);
  await writeFile(file, example ?? "");
  try {
    await promisify(execFile)(process.execPath, ["--conditions=@comfyq/source", file.pathname]);
  } finally {
    await rm(file);
  }
});
