import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { KeysFile } from "@comfyq/contract";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createKey, listKeys, revokeKey } from "../src/commands/keys.ts";
import { run } from "../src/commands/run.ts";
import { createProgram } from "../src/program.ts";
import { temporaryFolder } from "./startFixture.ts";

const written: string[] = [];
beforeEach(() => {
  written.length = 0;
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, "write").mockImplementation((text) => {
      written.push(String(text));
      return true;
    });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

test.each([
  [["run"], "missing required argument"],
  [["run", "x.json", "--priority", "high"], "whole number"],
  [["run", "x.json", "--prioriti", "1"], "Did you mean --priority?"],
  [["jobs", "--status", "done"], "Allowed choices are queued"],
  [["jobs", "--code", "poisson"], "Allowed choices are"],
  [["retry", "--failed", "--expired"], "cannot be used with"],
  [["watch"], "missing required argument"],
  [["keys", "create"], "--name"],
  [["fly"], "unknown command"],
])("%j is a mistake, and it is said which", async (args, words) => {
  const parsed = createProgram(() => undefined).parseAsync(["node", "comfyq", ...args]);
  await expect(parsed).rejects.toThrow(expect.objectContaining({ code: expect.stringMatching(/^commander\./) }));
  expect(written.join("")).toContain(words);
});

describe("run refuses what cannot be a job before it asks anybody:", () => {
  test.each([
    ["a file that is not there", "none.json", {}, "ENOENT"],
    ["a webhook that is no web address", "w.json", { webhook: "ftp://x" }, "webhook"],
    ["a moment that is none", "w.json", { at: "tomorrow" }, "run_at: must be a moment such as 2027-"],
    ["an input that is neither address nor file", "w.json", { input: ["1.inputs.image=./none.png"] }, "none.png"],
    ["a value without a place", "w.json", { param: ["fox"] }, "node.inputs.name=value"],
    ["a pool that cannot be", "w.json", { pool: "My Pool" }, "pool"],
  ])("%s", async (_, name, options, words) => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, "w.json"), '{"1":{"class_type":"LoadImage","inputs":{}}}');
    await expect(run(join(folder.path, name), options)).rejects.toThrow(
      expect.objectContaining({ code: "bad_input", message: expect.stringContaining(words) }),
    );
  });
});

describe("keys", () => {
  async function setup() {
    const folder = await temporaryFolder();
    const file = join(folder.path, "my-keys.json");
    vi.stubEnv("COMFYQ_KEYS_FILE", file);
    const read = async () => KeysFile.parse(JSON.parse(await readFile(file, "utf8"))).keys;
    return { folder: folder.path, file, read, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
  }
  const key = (name: string) => ({ name, tenant: "default" });

  test("without --scope a key may do what a caller does every day, not more", async () => {
    await using keys = await setup();
    await createKey({ ...key("me"), expiresDays: 30 });
    const [made] = await keys.read();
    expect(made).toMatchObject({ scopes: ["submit", "read", "cancel"] });
    const days = (Date.parse(made?.expires_at ?? "") - Date.parse(made?.created_at ?? "")) / 86_400_000;
    expect(days).toBe(30);
  });

  test("a taken name, an unknown one, and what the file cannot hold are refused; nothing changes", async () => {
    await using keys = await setup();
    await createKey(key("me"));
    const before = await readFile(keys.file, "utf8");
    const tries = [
      createKey(key("me")),
      revokeKey("you"),
      createKey({ ...key("x"), scope: ["fly"] }),
      createKey({ ...key("x"), tenant: "Not A Tenant" }),
      createKey({ ...key("x"), expiresDays: 0 }),
    ];
    for (const attempt of await Promise.allSettled(tries))
      expect(attempt).toMatchObject({ status: "rejected", reason: { code: "bad_input" } });
    expect(await readFile(keys.file, "utf8")).toBe(before);
    expect(await readdir(keys.folder)).toEqual(["my-keys.json"]);
  });

  test("a mistake is told in the words of the command line, not in those of the file", async () => {
    await using keys = await setup();
    await expect(createKey({ ...key("x"), scope: ["read", "fly"] })).rejects.toThrow(
      /^--scope\.1: must be one of submit, read, cancel, admin$/,
    );
    await expect(createKey({ ...key("x"), tenant: "Not A Tenant" })).rejects.toThrow(/^--tenant: 1-63 of/);
    await expect(createKey({ ...key("x"), expiresDays: -1 })).rejects.toThrow("would never work; give 1 or more");
    expect(await readdir(keys.folder)).toEqual([]);
  });

  test("keys that are made at the same moment are all kept", async () => {
    await using keys = await setup();
    await Promise.all(["a", "b", "c"].map((name) => createKey(key(name))));
    expect((await keys.read()).map(({ name }) => name).toSorted()).toEqual(["a", "b", "c"]);
    await revokeKey("b");
    expect((await keys.read()).map(({ name }) => name).toSorted()).toEqual(["a", "c"]);
  });

  test("no keys are told as such, and a file that holds something else is left as it is", async () => {
    await using keys = await setup();
    await listKeys();
    expect(written.join("")).toContain("the API asks for none");
    await writeFile(keys.file, "something of yours");
    await expect(createKey(key("me"))).rejects.toThrow(/no keys file/);
    expect(await readFile(keys.file, "utf8")).toBe("something of yours");
  });
});
