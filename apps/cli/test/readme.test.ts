import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { node, runToEnd } from "./startFixture.ts";

test("the example of the README runs as it stands", async () => {
  const readme = await readFile(join(import.meta.dirname, "../README.md"), "utf8");
  const [, example = ""] = /^```ts\n(.*?)^```$/ms.exec(readme) ?? [];
  expect(example).toContain("assert");
  const file = join(import.meta.dirname, `.readme-example.${process.pid}.ts`);
  await writeFile(file, example);
  try {
    expect(await runToEnd(node, ["--conditions=@comfyq/source", file])).toMatchObject({ code: 0 });
  } finally {
    await rm(file);
  }
});
