import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, rename, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { folderError } from "../src/folder/folderError.ts";
import { openStorage } from "../src/index.ts";
import { failingStream, failure, openTestFolder, readText } from "./stores.ts";

const PNG = { contentType: "image/png" };
const NODE = new URL("../../../node_modules/.bin/node", import.meta.url).pathname;
const WRITER = new URL("./endlessWriter.ts", import.meta.url).pathname;

test("a writer killed in the middle leaves no visible object, and sweep removes its draft", async () => {
  await using folder = await openTestFolder();
  await folder.storage.put("kept", "x", PNG);
  const writer = spawn(NODE, ["--conditions=@comfyq/source", WRITER, folder.root, "half"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(writer, "exit");
  await once(createInterface(writer.stdout), "line"); // it says when bytes are in the folder
  writer.kill("SIGKILL");
  await ended;
  expect(await folder.storage.head("half")).toBeUndefined();
  expect(await readdir(drafts(folder.root))).toHaveLength(1);
  expect(await folder.storage.sweep({ olderThanMs: 3_600_000 })).toEqual({ removed: 0 });
  expect(await folder.storage.sweep({ olderThanMs: -1_000 })).toEqual({ removed: 1 });
  expect(await readdir(folder.root)).toEqual([".comfyq", "kept"]);
});

test("a disk that takes no more bytes is disk_full, and nothing is left behind", async () => {
  await using folder = await openTestFolder();
  // a limit on the size of files stops the write in the kernel, as a full disk would
  const script = `ulimit -f 64; exec "$0" --conditions=@comfyq/source "$1" "$2" full`;
  const writer = spawn("bash", ["-c", script, NODE, WRITER, folder.root], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  createInterface(writer.stdout).on("line", (line) => lines.push(line));
  await once(writer, "close");
  expect(lines.at(-1)).toBe("disk_full true");
  expect(await folder.storage.head("full")).toBeUndefined();
  expect(await readdir(drafts(folder.root))).toEqual([]);
});

test("a failed put leaves no draft", async () => {
  await using folder = await openTestFolder();
  await expect(folder.storage.put("a", failingStream(new Error("gone")), PNG)).rejects.toThrow("gone");
  await failure(folder.storage.put("a", "xyz", { ...PNG, sizeBytes: 2 }));
  await folder.storage.putIfAbsent("b", "1", PNG);
  await folder.storage.putIfAbsent("b", "2", PNG);
  expect(await readdir(drafts(folder.root))).toEqual([]);
});

test("a symbolic link inside the folder leads nobody out of it", async () => {
  await using folder = await openTestFolder();
  await using outside = await openTestFolder();
  await writeFile(join(outside.root, "secret.txt"), "secret");
  await symlink(outside.root, join(folder.root, "door"));
  await symlink(join(outside.root, "secret.txt"), join(folder.root, "window.txt"));
  const { storage } = folder;
  expect((await failure(storage.get("door/secret.txt"))).code).toBe("invalid_key");
  expect((await failure(storage.head("door/secret.txt"))).code).toBe("invalid_key");
  expect((await failure(storage.put("door/new/planted.txt", "x", PNG))).code).toBe("invalid_key");
  expect((await failure(storage.putIfAbsent("door/planted.txt", "x", PNG))).code).toBe("invalid_key");
  expect((await failure(storage.remove("door/secret.txt"))).code).toBe("invalid_key");
  expect((await failure(storage.get("window.txt"))).code).toBe("not_found");
  expect(await storage.head("window.txt")).toBeUndefined();
  for await (const { key } of storage.list("")) throw new Error(`${key} was listed`);
  await storage.put("window.txt", "replaces the link itself", PNG);
  expect(await readdir(outside.root)).toEqual(["secret.txt"]);
  expect(await readText(outside.storage, "secret.txt")).toBe("secret");
});

test("the root may be a symbolic link itself", async () => {
  await using folder = await openTestFolder();
  await using other = await openTestFolder();
  await symlink(folder.root, join(other.root, "here"));
  const storage = openStorage(join(other.root, "here"));
  await storage.put("a/b", "x", PNG);
  expect(await readText(folder.storage, "a/b")).toBe("x");
});

test("a folder that disappears is missed, and is not made anew somewhere else", async () => {
  await using folder = await openTestFolder();
  await folder.storage.put("a", "x", PNG);
  await rename(folder.root, `${folder.root}-unmounted`);
  try {
    expect(await failure(folder.storage.put("b", "x", PNG))).toMatchObject({
      code: "bucket_missing",
      retryable: false,
    });
  } finally {
    await rename(`${folder.root}-unmounted`, folder.root);
  }
  expect(await readText(folder.storage, "a")).toBe("x");
});

test("an object cannot stand where a folder is, nor below another object", async () => {
  await using folder = await openTestFolder();
  await folder.storage.put("a/b", "x", PNG);
  expect((await failure(folder.storage.put("a", "x", PNG))).code).toBe("invalid_key");
  expect((await failure(folder.storage.put("a/b/c", "x", PNG))).code).toBe("invalid_key");
  expect(await readText(folder.storage, "a/b")).toBe("x");
});

test("a root that cannot be made is an error at the first call, and works once it can", async () => {
  await using folder = await openTestFolder();
  await writeFile(join(folder.root, "file"), "");
  const storage = openStorage(join(folder.root, "file", "below"));
  expect((await failure(storage.put("a", "x", PNG))).code).toBe("invalid_key");
  await rename(join(folder.root, "file"), join(folder.root, "other"));
  await storage.put("a", "x", PNG);
  expect(await readText(storage, "a")).toBe("x");
});

test("sweep leaves drafts that somebody is still writing", async () => {
  await using folder = await openTestFolder();
  await mkdir(drafts(folder.root), { recursive: true });
  for (const name of ["old", "new"]) await writeFile(join(drafts(folder.root), name), "x");
  const yesterday = Date.now() / 1000 - 86_400;
  await utimes(join(drafts(folder.root), "old"), yesterday, yesterday);
  expect(await folder.storage.sweep({ olderThanMs: 3_600_000 })).toEqual({ removed: 1 });
  expect(await readdir(drafts(folder.root))).toEqual(["new"]);
});

test("writers and removers of neighbouring keys do not trip over each other's empty folders", async () => {
  await using folder = await openTestFolder();
  const { storage } = folder;
  const churn = async (name: string) => {
    for (let round = 0; round < 40; round++) {
      await storage.put(`deep/er/${name}`, String(round), PNG);
      await storage.remove(`deep/er/${name}`);
    }
  };
  await Promise.all(["a", "b", "c"].map(churn));
  expect(await readdir(folder.root)).toEqual([".comfyq"]);
});

test.each([
  ["ENOSPC", "disk_full"],
  ["EDQUOT", "disk_full"],
  ["EACCES", "forbidden"],
  ["EROFS", "forbidden"],
  ["EIO", "unavailable"],
  ["EMFILE", "unavailable"],
])("%s of the file system means %s", (code, meaning) => {
  const cause = Object.assign(new Error(`${code}: made up`), { code });
  const error = folderError(cause, { what: "store", key: "a", place: "file:///x" }, "bucket_missing");
  expect(error).toMatchObject({ code: meaning, cause });
});

function drafts(root: string): string {
  return join(root, ".comfyq", "drafts");
}
