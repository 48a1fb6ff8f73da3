import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkPort } from "../src/up/checkPort.ts";
import { takeDataLock } from "../src/up/dataLock.ts";
import { temporaryFolder } from "./startFixture.ts";

test("a data folder is one system's at a time, and free again after it", async () => {
  await using folder = await temporaryFolder();
  const lock = await takeDataLock(join(folder.path, "data"));
  expect(lock.wasLeftBehind).toBe(false);
  await expect(takeDataLock(join(folder.path, "data"))).rejects.toThrow(
    new RegExp(`Another comfyq \\(process ${process.pid}\\) already runs on .*data\\.\n.*COMFYQ_DATA_DIR`),
  );
  await lock.release();
  const next = await takeDataLock(join(folder.path, "data"));
  expect(next.wasLeftBehind).toBe(false);
});

test.each([
  ["of a process that is gone", JSON.stringify({ pid: 2 ** 22 + 1, began: "x" })],
  ["whose process id another process has by now", JSON.stringify({ pid: process.pid, began: "earlier" })],
  ["that a full disk cut short", '{"pid":12'],
])("a lock %s is taken over", async (_, text) => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "comfyq.lock");
  writeFileSync(path, text);
  const lock = await takeDataLock(folder.path);
  expect(lock.wasLeftBehind).toBe(true);
  expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ pid: process.pid });
  await lock.release();
  expect(existsSync(path)).toBe(false);
});

test("of many that find a lock left behind, one gets it", async () => {
  await using folder = await temporaryFolder();
  writeFileSync(join(folder.path, "comfyq.lock"), JSON.stringify({ pid: 2 ** 22 + 1, began: "x" }));
  const tries = await Promise.allSettled([1, 2, 3, 4, 5].map(() => takeDataLock(folder.path)));
  expect(tries.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
});

test("release leaves alone what is not ours", async () => {
  await using folder = await temporaryFolder();
  const lock = await takeDataLock(folder.path);
  const path = join(folder.path, "comfyq.lock");
  writeFileSync(path, "another's");
  await lock.release();
  expect(readFileSync(path, "utf8")).toBe("another's");
});

test("a port that is taken is told with a way out; one that becomes free in time is fine", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  await expect(checkPort("127.0.0.1", port, 0)).rejects.toThrow(new RegExp(`Port ${port} .*taken.*\n.*COMFYQ_PORT=`));
  const patient = checkPort("127.0.0.1", port, 10_000);
  server.close();
  await patient;
  await expect(checkPort("192.0.2.1", 8190, 0)).rejects.toThrow(/COMFYQ_HOST/);
  await checkPort("192.0.2.1", 0, 0);
});
