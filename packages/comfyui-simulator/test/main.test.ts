import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { picture, post, readJson, run } from "./setup.ts";

/** Starts the process with arguments; it ends with the test. */
function launch(...args: string[]): ChildProcess {
  const main = new URL("../src/main.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, ["--conditions=@comfyq/source", main, ...args], { stdio: "pipe" });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  return child;
}

async function ready(child: ChildProcess): Promise<{ url: string }> {
  if (!child.stdout) throw new Error("its output is not piped");
  const [line] = await once(createInterface(child.stdout), "line");
  return JSON.parse(String(line)) as { url: string }; // the line is what it promises
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "comfyq-simulator-test-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

test("the process says where it listens, obeys its arguments, and ends at once when told to", async () => {
  const faults = JSON.stringify([{ kind: "exec_slow", factor: 1 }]);
  const args = ["--port", "0", "--dir", folder(), "--version", "0.3.64", "--step-ms", "1", "--no-previews"];
  const child = launch(...args, "--faults", faults);
  const simulator = await ready(child);
  const stats = await readJson<{ system: { comfyui_version: string; argv: string[] } }>(
    fetch(`${simulator.url}/system_stats`),
  );
  expect(stats.system.comfyui_version).toBe("0.3.64");
  expect(stats.system.argv).toContain("--no-previews");
  expect(await readJson(fetch(`${simulator.url}/simulator/faults`))).toMatchObject({ faults: [{ kind: "exec_slow" }] });
  expect((await run(simulator, picture())).status.status_str).toBe("success");
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
});

const crashing = {
  "1": { class_type: "SimCrash", inputs: {} },
  "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
};

test("a crash ends the process with a code of its own, by a node, by a fault or over HTTP", async () => {
  const crashes = [
    (url: string) => post({ url }, "/prompt", { prompt: crashing }),
    (url: string) => post({ url }, "/simulator/die"),
  ];
  const codes = crashes.map(async (crash) => {
    const child = launch("--port", "0", "--dir", folder());
    const { url } = await ready(child);
    const ended = once(child, "exit");
    await crash(url).catch(() => undefined); // the answer may be lost with the process
    return ended;
  });
  expect(await Promise.all(codes)).toEqual([
    [9, null],
    [9, null],
  ]);
});

test("a crashed process that is started again has its files and nothing else, at the same address", async () => {
  const dir = folder();
  const historyFile = join(dir, "history.jsonl");
  const first = launch("--port", "0", "--dir", dir, "--history", historyFile);
  const { url } = await ready(first);
  const form = new FormData();
  form.set("image", new Blob(["an input"]), "input.txt");
  await fetch(`${url}/upload/image`, { method: "POST", body: form });
  await run({ url }, picture());
  const ended = once(first, "exit");
  await post({ url }, "/prompt", { prompt: crashing }).catch(() => undefined);
  expect(await ended).toEqual([9, null]);
  const reborn = await ready(launch("--port", new URL(url).port, "--dir", dir, "--history", historyFile));
  expect(reborn.url).toBe(url);
  expect(await readJson(fetch(`${url}/history`))).toEqual({});
  expect(await readJson(fetch(`${url}/queue`))).toEqual({ queue_running: [], queue_pending: [] });
  expect((await fetch(`${url}/view?filename=ComfyUI_00001_.png`)).status).toBe(200);
  expect(await (await fetch(`${url}/view?filename=input.txt&type=input`)).text()).toBe("an input");
  const lines = readFileSync(historyFile, "utf8").trim().split("\n");
  const ops = lines.map((line) => (JSON.parse(line) as { op: string }).op); // only the simulator writes it
  expect(ops).toEqual(["booted", "queued", "started", "ended", "queued", "started", "crashed", "booted"]);
});

test("a wrong argument is named on standard error, and the process does not start", async () => {
  const attempts = [
    [["--prot", "1"], "--prot"],
    [["--step-ms", "fast"], "--step-ms must be a number"],
    [["--version", "0.2.0"], "0.3.64"],
    [["--faults", '[{"kind":"nonsense"}]'], "nonsense"],
  ] as const;
  const refusals = attempts.map(async ([args, words]) => {
    const child = launch("--port", "0", ...args);
    let told = "";
    child.stderr?.on("data", (text) => {
      told += String(text);
    });
    const [code] = await once(child, "close");
    expect([code, told]).toEqual([1, expect.stringContaining(words)]);
  });
  await Promise.all(refusals);
});

test("it goes when its parent has gone, if it was asked to", async () => {
  const main = new URL("../src/main.ts", import.meta.url).pathname;
  // A shell in between is the parent; it says a line and dies when it reads one.
  const script = `"${process.execPath}" --conditions=@comfyq/source "${main}" --port 0 --dir "${folder()}" & echo $!; read line; exit`;
  const parent = spawn("sh", ["-c", script], { env: { ...process.env, COMFYQ_DIE_WITH_PARENT: "1" }, stdio: "pipe" });
  const lines = createInterface(parent.stdout);
  const seen: string[] = [];
  lines.on("line", (line) => seen.push(line));
  while (seen.length < 2) await once(lines, "line");
  const { url } = JSON.parse(seen[1] ?? "") as { url: string }; // the line is what it promises
  expect((await fetch(url)).status).toBe(200);
  parent.stdin.end("\n");
  await once(lines, "close"); // the simulator held the other end of this pipe
  await expect(fetch(url)).rejects.toThrow();
});
