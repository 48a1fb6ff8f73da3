import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isAlive, node, runToEnd, temporaryFolder, until } from "./startFixture.ts";

/**
 * A clone with nothing in it but infra/scripts/run.mjs. `pnpm` is a shell script that npx says it has installed; what the
 * launcher and `comfyq redis-server` would be ends as it is told.
 */
async function clone(pnpm: string, launcher = "process.exit(0)") {
  const folder = await temporaryFolder();
  const at = (...parts: string[]) => join(folder.path, ...parts);
  for (const name of ["infra/scripts", "bin", "apps/cli/dist", "apps/cli/src"])
    await mkdir(at(name), { recursive: true });
  await copyFile(join(import.meta.dirname, "../../../infra/scripts/run.mjs"), at("infra/scripts/run.mjs"));
  await writeFile(at("package.json"), '{"packageManager":"pnpm@0.0.0"}');
  await writeFile(at("apps/cli/dist/main.js"), launcher);
  await writeFile(at("apps/cli/src/main.ts"), "process.exit(0)");
  const script = async (name: string, body: string) => {
    await writeFile(at("bin", name), `#!/bin/sh\n${body}\n`);
    await chmod(at("bin", name), 0o755);
  };
  await script("npx", `echo npx >> ${at("npx.log")}; echo ${at("bin/pnpm")}`);
  await script("pnpm", `[ "$1" = --version ] && { cat ${at("version")}; exit; }; ${pnpm}`);
  await writeFile(at("version"), "0.0.0");
  const env = { PATH: `${at("bin")}:/usr/bin:/bin` };
  const args = (...task: string[]) => [at("infra/scripts/run.mjs"), ...task];
  const run = (...task: string[]) => runToEnd(node, args(...task), env);
  const start = (...task: string[]) => spawn(node, args(...task), { env, stdio: "ignore" });
  return { at, run, start, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

const lastLine = (text: string) => text.trimEnd().split("\n").at(-1);

test.concurrent("start installs, builds, hands its arguments over, and ends as the launcher ends", async () => {
  const launcher = "console.log(JSON.stringify(process.argv.slice(2))); process.exit(3);";
  await using it = await clone('echo "$@" >> pnpm.log', launcher);
  expect(await it.run("start", "--verbose")).toMatchObject({ code: 3, stdout: '["up","--verbose"]\n' });
  expect(readFileSync(it.at("pnpm.log"), "utf8")).toMatch(/^install --frozen-lockfile\nexec turbo run build /);
  expect(existsSync(it.at(".turbo/install.lock"))).toBe(false);
});

test.concurrent("pnpm is fetched once: the next start needs no network, until package.json names another", async () => {
  await using it = await clone("exit 0");
  const asked = () => readFileSync(it.at("npx.log"), "utf8").trim().split("\n").length;
  await it.run("start");
  await it.run("start");
  expect(asked()).toBe(1);
  await writeFile(it.at("package.json"), '{"packageManager":"pnpm@0.0.1"}');
  await it.run("start");
  expect(asked()).toBe(2);
});

test.concurrent("a step that fails shows what it printed, and nothing after it runs", async () => {
  await using it = await clone('echo "ERR_PNPM_SOMETHING the lockfile is out of date"; exit 7');
  const { code, stdout, stderr } = await it.run("start");
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/lockfile is out of date\n\nInstalling packages .* failed \(exit code 7\)/s);
});

test.concurrent("stopped in the middle of a step, it leaves nothing running", async () => {
  await using it = await clone("sleep 600 & echo $! > sleeper.tmp; mv sleeper.tmp sleeper; wait");
  const child = it.start("start");
  const exited = once(child, "exit");
  await until(() => existsSync(it.at("sleeper")));
  const sleeper = Number(readFileSync(it.at("sleeper"), "utf8"));
  child.kill("SIGTERM");
  expect((await exited)[0]).toBe(130);
  expect(isAlive(sleeper)).toBe(false);
  expect(existsSync(it.at(".turbo/install.lock"))).toBe(false);
});

test.concurrent("a signal reaches the launcher, and its end is waited for", async () => {
  const launcher = `const { writeFileSync } = require("node:fs"); setInterval(() => undefined, 60_000);
    process.on("SIGTERM", () => setTimeout(() => { writeFileSync("stopped", ""); process.exit(0); }, 100));
    writeFileSync("up", "");`;
  await using it = await clone("exit 0", launcher);
  const child = it.start("start");
  const exited = once(child, "exit");
  await until(() => existsSync(it.at("up")));
  child.kill("SIGTERM");
  expect((await exited)[0]).toBe(0);
  expect(existsSync(it.at("stopped"))).toBe(true);
});

test.concurrent("of two that start at once, one installs while the other waits", async () => {
  await using it = await clone("[ -e busy ] && echo overlap >> overlaps; touch busy; sleep 0.3; rm busy; exit 0");
  const ends = await Promise.all([it.run("start"), it.run("start")]);
  expect(ends.map(({ code }) => code)).toEqual([0, 0]);
  expect(ends.map(({ stderr }) => stderr).join("")).toContain("waiting for it");
  expect(existsSync(it.at("overlaps"))).toBe(false);
});

test.concurrent("test ends with the number of tests that passed and failed, and with the exit code of the check", async () => {
  const summary = `echo "   Tests  1 failed | 81 passed (82)"; echo " Test Files  1 failed | 8 passed (9)"`;
  await using failing = await clone(`[ "$1" = run ] && { ${summary}; exit 1; }; exit 0`);
  const failed = await failing.run("test");
  expect([failed.code, lastLine(failed.stdout)]).toEqual([1, "81 passed, 1 failed"]);
  expect(failed.stderr).toContain("82 tests in 9 files");

  await using passing = await clone('[ "$1" = run ] && echo "   Tests  82 passed (82)"; exit 0');
  const passed = await passing.run("test");
  expect([passed.code, lastLine(passed.stdout)]).toEqual([0, "82 passed, 0 failed"]);
});

test.concurrent("a check that fails outside the tests, and one that cannot begin, count as one failure", async () => {
  await using lint = await clone('[ "$1" = run ] && { echo "   Tests  82 passed (82)"; exit 1; }; exit 0');
  expect(lastLine((await lint.run("test")).stdout)).toBe("82 passed, 1 failed");
  await using broken = await clone("exit 1");
  const { code, stdout } = await broken.run("test");
  expect([code, lastLine(stdout)]).toEqual([1, "0 passed, 1 failed"]);
});

test.concurrent("an unknown task is told with what there is", async () => {
  await using it = await clone("exit 0");
  expect(await it.run("fly")).toMatchObject({ code: 1, stderr: expect.stringContaining("run.mjs start") });
});
