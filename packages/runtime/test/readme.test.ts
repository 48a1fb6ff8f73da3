import { readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startFixture } from "./startFixture.ts";

test("the example of the README runs as it stands", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const [, example = ""] = /^```ts\n(.*?)^```$/ms.exec(readme) ?? [];
  expect(example).toContain("assert");
  const file = fileURLToPath(new URL(`./.readme-example.${process.pid}.ts`, import.meta.url));
  await writeFile(file, example);
  try {
    using running = startFixture(file, []);
    expect(await running.ended).toMatchObject({ code: 0, stray: "" });
    expect(running.lines.at(-1)).toMatchObject({ msg: "service stopped" });
  } finally {
    await rm(file);
  }
});
