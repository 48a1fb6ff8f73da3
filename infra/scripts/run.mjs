// What `npm start` and `npm test` do. Runs on the system's Node before anything is installed, therefore Node built-ins
// only, and nothing that an old Node could not parse: it must live long enough to say that it is too old.
import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as util from "node:util"; // Node 14 would trip over a name that it does not export

const LOWEST_NODE = [20, 19];
/** Without the pinned Node (there is none for macOS) the system's own runs everything: undici 8 needs this much. */
const LOWEST_FALLBACK_NODE = [22, 19];
const STOP_STEP_MS = 5_000;

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" };

/** Ends the run: `message` says what is wrong and what to do. */
class Stop extends Error {
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The child that runs right now, and how it hears a signal of ours. */
let current;
let stoppedBy;

function say(line) {
  process.stderr.write(`${line}\n`);
}

function seconds(sinceMs) {
  return `${((Date.now() - sinceMs) / 1000).toFixed(1)} s`;
}

function isAtLeast(version, [major, minor]) {
  const [theirMajor, theirMinor] = version.replace(/^v/, "").split(".").map(Number);
  return theirMajor > major || (theirMajor === major && theirMinor >= minor);
}

function checkSystemNode() {
  if (isAtLeast(process.version, LOWEST_NODE)) return;
  throw new Stop(
    `comfyq needs Node ${LOWEST_NODE.join(".")} or newer to start; this is ${process.version}.\n` +
      "Install a current one (https://nodejs.org) and run the same command again.",
  );
}

/** The Node that the lockfile pins, when this machine can run it (another libc cannot), else the system's. */
function findNode() {
  const pinned = join(root, "node_modules/.bin/node");
  if (existsSync(pinned) && spawnSync(pinned, ["--version"]).status === 0) return pinned;
  if (isAtLeast(process.version, LOWEST_FALLBACK_NODE)) return process.execPath;
  throw new Stop(
    `There is no bundled Node for ${process.platform}-${process.arch}, and this one (${process.version}) is too old to run ` +
      `comfyq itself.\nInstall Node ${LOWEST_FALLBACK_NODE.join(".")} or newer and run the same command again.`,
  );
}

function ended(child) {
  return new Promise((done) => {
    child.on("error", (error) => done({ code: 127, error }));
    child.on("close", (code, signal) => done({ code: code ?? 1, signal }));
  });
}

/** Signals a whole process group: npx and pnpm do not pass signals on to what they started. */
function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended already.
  }
}

/** Runs one step in a group of its own, so that one signal ends all of it. Returns its exit code and what it printed. */
async function runStep(command, args, { isShown = false } = {}) {
  const child = spawn(command, args, { cwd: root, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const name of ["stdout", "stderr"]) {
    child[name].on("data", (chunk) => {
      output += chunk;
      if (isShown) process[name].write(chunk);
    });
  }
  current = (signal) => {
    signalGroup(child, signal === "SIGHUP" ? "SIGTERM" : signal);
    setTimeout(() => signalGroup(child, "SIGKILL"), STOP_STEP_MS).unref();
  };
  const { code, error } = await ended(child);
  current = undefined;
  if (stoppedBy) throw new Stop(`stopped by ${stoppedBy}`, 130);
  return { code, output: error ? `${output}${error.message}\n` : output };
}

/** A step of which only one line is shown, unless it fails. */
async function quietStep(title, command, args) {
  const startedAtMs = Date.now();
  process.stderr.write(`${title} … `);
  const { code, output } = await runStep(command, args);
  if (code === 0) {
    say(seconds(startedAtMs));
    return output;
  }
  say("failed");
  throw new Stop(`${output.trimEnd()}\n\n${title} failed (exit code ${code}): what it printed stands above.`);
}

/**
 * Puts the pnpm that package.json names on PATH. Where npx put it is remembered: npx asks the registry every time, which
 * costs 2 s, and without a network over a minute and the start.
 */
async function findPnpm() {
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const memory = join(root, ".turbo/pnpm-path");
  let pnpm = existsSync(memory) ? readFileSync(memory, "utf8") : "";
  if (pnpm === "" || `pnpm@${versionOf(pnpm)}` !== packageManager) {
    const args = ["-y", "--loglevel=error", "-p", packageManager, "-c", "command -v pnpm"];
    const output = await quietStep(`Getting ${packageManager}`, "npx", args);
    pnpm = output.split("\n").find((line) => line.startsWith("/") && line.endsWith("/pnpm"));
    if (!pnpm) throw new Stop(`npx installed ${packageManager}, but no pnpm was found in:\n${output}`);
    writeFileSync(memory, pnpm);
  }
  env.PATH = `${dirname(pnpm)}:${env.PATH}`;
}

function versionOf(program) {
  return spawnSync(program, ["--version"], { cwd: root, encoding: "utf8" }).stdout?.trim();
}

/** Lets one run at a time install and build in this clone: two systems may be started at the same moment. */
async function withLock(work) {
  const lock = join(root, ".turbo/install.lock");
  mkdirSync(dirname(lock), { recursive: true });
  for (let isFirst = true; !tryLock(lock); isFirst = false) {
    if (isFirst) say(`Another run is installing in ${root}; waiting for it.`);
    await new Promise((done) => setTimeout(done, 300));
    if (stoppedBy) throw new Stop(`stopped by ${stoppedBy}`, 130);
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function tryLock(lock) {
  try {
    const file = openSync(lock, "wx");
    writeSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  if (!isHeld(lock)) rmSync(lock, { force: true });
  return false;
}

function isHeld(lock) {
  try {
    const pid = Number(readFileSync(lock, "utf8"));
    if (pid === 0) return true; // its owner is between creating and writing
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

async function install() {
  await findPnpm();
  const isFirst = !existsSync(join(root, "node_modules"));
  const title = isFirst ? "Installing packages (the first time takes half a minute)" : "Checking packages";
  await quietStep(title, "pnpm", ["install", "--frozen-lockfile"]);
}

/** Runs a process that hears signals from us alone or also from the terminal, and ends when it ends. */
async function handOver(node, args) {
  const parent = { COMFYQ_DIE_WITH_PARENT: String(process.pid) };
  const child = spawn(node, args, { cwd: root, env: { ...env, ...parent }, stdio: "inherit" });
  current = (signal) => child.kill(signal);
  const { code, signal, error } = await ended(child);
  if (error) throw new Stop(`${node} could not be started: ${error.message}`);
  return signal ? 1 : code;
}

async function start(args) {
  await withLock(async () => {
    await install();
    await quietStep("Building", "pnpm", ["exec", "turbo", "run", "build", "--output-logs=errors-only"]);
  });
  return handOver(findNode(), ["--enable-source-maps", "apps/cli/dist/main.js", "up", ...args]);
}

async function test() {
  const startedAtMs = Date.now();
  const ran = [];
  try {
    await withLock(install);
    ran.push("install");
    const cli = ["--disable-warning=ExperimentalWarning", "--conditions=@comfyq/source", "apps/cli/src/main.ts"];
    const redis = await runStep(findNode(), [...cli, "redis-server"], { isShown: true });
    if (redis.code !== 0) throw new Stop("The tests need a redis-server; see above.");
    if (process.stdout.isTTY && !env.NO_COLOR) env.FORCE_COLOR = "1";
    const check = await runStep("pnpm", ["run", "check"], { isShown: true });
    return report(check, ran, startedAtMs);
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    say(error.message);
    say(`\nWhat ran: ${ran.join(", ") || "nothing"}; it ended after ${seconds(startedAtMs)}.`);
    process.stdout.write("0 passed, 1 failed\n");
    return error.exitCode;
  }
}

/** Counts what vitest counted; a check that failed outside the tests (a type, a lint rule) counts as one failure. */
function report({ code, output }, ran, startedAtMs) {
  const plain = util.stripVTControlCharacters(output);
  const count = (line, word) => Number(new RegExp(`^\\s*${line}\\s.*?(\\d+) ${word}`, "m").exec(plain)?.[1] ?? 0);
  const passed = count("Tests", "passed");
  const failedTests = count("Tests", "failed");
  const failed = code === 0 ? 0 : Math.max(failedTests, 1);
  ran.push(`build and type check (${count("Tasks:", "total")} tasks)`);
  ran.push(`${passed + failedTests} tests in ${count("Test Files", "passed") + count("Test Files", "failed")} files`);
  ran.push(code === 0 ? "lint" : "lint only if the tests passed");
  if (code !== 0 && failedTests === 0) say("The tests themselves did not fail; what did stands above.");
  say(`\nWhat ran: ${ran.join(", ")}; ${seconds(startedAtMs)} in all.`);
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return code;
}

function listenForSignals() {
  const hear = (signal) => {
    stoppedBy = stoppedBy ?? signal;
    if (current) current(signal);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => hear(signal));
  // npm that is killed outright tells nobody; under npm we look whether it is still there.
  if (!process.env.npm_lifecycle_event) return;
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || hear("SIGTERM"), 1_000).unref();
}

async function main() {
  const [task, ...args] = process.argv.slice(2);
  checkSystemNode();
  listenForSignals();
  if (task === "start") return start(args);
  if (task === "test") return test();
  throw new Stop("usage: node infra/scripts/run.mjs start [arguments of comfyq up] | test");
}

main().then(
  (code) => process.exit(code),
  (error) => {
    say(error instanceof Stop ? error.message : error.stack);
    process.exit(error instanceof Stop ? error.exitCode : 1);
  },
);
