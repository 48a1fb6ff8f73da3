import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";

test("the README's example runs as it stands, and the README has at most 40 lines", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const file = new URL(`.readme-example.${process.pid}.ts`, import.meta.url).pathname;
  writeFileSync(file, example);
  onTestFinished(() => rmSync(file));
  const { stderr } = await promisify(execFile)(process.execPath, ["--conditions=@comfyq/source", file]);
  expect([stderr, example.includes("assert.")]).toEqual(["", true]);
  expect(readme.trimEnd().split("\n").length).toBeLessThanOrEqual(40);
});
