import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runRestartCommand } from "../src/instance/restartCommand.ts";
import { eventually } from "./setup.ts";

const never = new AbortController().signal;
const env = { PATH: process.env["PATH"] ?? "", COMFYUI_URL: "http://gpu:8188" };

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test("the command sees the address and nothing else of our environment, and what it says becomes one clean line", async () => {
  process.env["SECRET_OF_OURS"] = "hidden";
  const command = 'printf "\\033[31m%s\\n\\t%s\\n" "$COMFYUI_URL" "$SECRET_OF_OURS"; env | grep -c SECRET; exit 3';
  const end = await runRestartCommand(command, { env, withinMs: 30_000, signal: never });
  expect(end).toEqual({ code: 3, output: "[31mhttp://gpu:8188 0" });
});

test("a command that talks without end is cut to the last of it", async () => {
  const end = await runRestartCommand("yes abcdefghi | head -c 100000; echo END", {
    env,
    withinMs: 30_000,
    signal: never,
  });
  expect(end.code).toBe(0);
  expect(end.output.length).toBeLessThanOrEqual(500);
  expect(end.output.endsWith("END")).toBe(true);
});

test("a command that does not end is killed with everything it started", async () => {
  const file = join(await mkdtemp(join(tmpdir(), "restart-")), "pid");
  const command = `sh -c 'echo $$ > ${file}; sleep 1000' & wait`;
  const running = runRestartCommand(command, { env, withinMs: 1_500, signal: never });
  const grandchild = async () => Number(await readFile(file, "utf8").catch(() => "0"));
  await eventually(async () => (await grandchild()) > 0);
  expect((await running).code).toBeNull();
  const pid = await grandchild();
  await eventually(() => !isAlive(pid));
});

test("a server that it starts in the background lives on", async () => {
  const file = join(await mkdtemp(join(tmpdir(), "restart-")), "pid");
  const end = await runRestartCommand(`sleep 60 & echo $! > ${file}`, { env, withinMs: 30_000, signal: never });
  expect(end.code).toBe(0);
  const pid = Number(await readFile(file, "utf8"));
  expect(isAlive(pid)).toBe(true);
  process.kill(pid, "SIGKILL");
});
