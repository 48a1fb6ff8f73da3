import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const root = new URL("../..", import.meta.url).pathname;
const rooms = ["apps", "packages"].flatMap((floor) => readdirSync(root + floor).map((room) => `${floor}/${room}`));

/** Written into the room's own test folder, so that it imports what the room's dependents can import. */
async function runExample(room: string, example: string): Promise<void> {
  const file = `${root}${room}/test/.readme-example.${process.pid}.ts`;
  await writeFile(file, example);
  try {
    await promisify(execFile)(`${root}node_modules/.bin/node`, ["--conditions=@comfyq/source", file], {
      cwd: root + room,
    });
  } finally {
    await rm(file);
  }
}

test.for(rooms)("the example in the README of %s runs", { timeout: 60_000 }, async (room) => {
  expect(existsSync(`${root}${room}/README.md`), "every room has a README").toBe(true);
  const readme = await readFile(`${root}${room}/README.md`, "utf8");
  expect(readme.trimEnd().split("\n").length).toBeLessThanOrEqual(40);
  const [, example = ""] = /^```ts\n(.*?)^```$/ms.exec(readme) ?? [];
  expect(example, "an example that cannot fail proves nothing").toContain("assert");
  await runExample(room, example);
});
