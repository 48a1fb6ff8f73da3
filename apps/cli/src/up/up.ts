import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { KeysFile } from "@comfyq/contract";
import { monotonicMs, stripUrl } from "@comfyq/runtime";
import { EXIT, type ExitCode } from "../CliError.ts";
import { inheritedEnv } from "../config.ts";
import { checkPort } from "./checkPort.ts";
import { takeDataLock } from "./dataLock.ts";
import { createFleet, type Fleet, STOP_WITHIN_MS } from "./fleet.ts";
import { listenForStop, type StopWish } from "./listenForStop.ts";
import { readSettings, settingGroups, type UpSettings } from "./settings.ts";
import { startScreen } from "./startScreen.ts";
import { startSystem } from "./startSystem.ts";
import { createTerminal, type Verbosity } from "./terminal.ts";
import { unknownSettings } from "./unknownSettings.ts";

/** What a crashed run left behind lets go of its port within this time. */
const LEFTOVER_PORT_MS = 12_000;
/** On top of its drain time a worker gets this long to give its job back. */
const AFTER_DRAIN_MS = 2_000;

/**
 * Runs the whole system on this machine until it is told to stop.
 * @throws EnvError for bad settings, CliError when something could not start; then nothing is left running
 */
export async function up(verbosity: Verbosity): Promise<ExitCode> {
  const startedAtMs = monotonicMs();
  const settings = readSettings();
  const folder = resolve(settings.COMFYQ_DATA_DIR);
  const wish = listenForStop();
  const { say, show } = createTerminal(process.stdout, verbosity);
  const lock = await takeDataLock(folder);
  const fleet = createFleet(join(folder, "logs"), show);
  try {
    await checkPort(settings.COMFYQ_HOST, settings.COMFYQ_PORT, lock.wasLeftBehind ? LEFTOVER_PORT_MS : 0);
    const running = await Promise.race([startSystem({ settings, folder, fleet, say }), untilAborted(wish.signal)]);
    if (running) {
      const facts = { ...running, ...(await whatElse(settings, folder)), startedInMs: monotonicMs() - startedAtMs };
      say(startScreen(facts));
      await untilAborted(wish.signal);
    }
    say("\nStopping …");
  } finally {
    await stopAll(fleet, settings, wish);
    await lock.release();
  }
  say("Stopped.");
  return EXIT.succeeded;
}

async function stopAll(fleet: Fleet, settings: UpSettings, wish: StopWish): Promise<void> {
  wish.atOnce.addEventListener("abort", () => void fleet.kill(), { once: true });
  const front = Math.max(STOP_WITHIN_MS.front, settings.COMFYQ_DRAIN_S * 1_000 + AFTER_DRAIN_MS);
  await fleet.stop({ ...STOP_WITHIN_MS, front });
}

async function whatElse(settings: UpSettings, folder: string) {
  const keysFile = resolve(settings.COMFYQ_KEYS_FILE ?? join(folder, "keys.json"));
  const known = settingGroups().flatMap((group) => group.settings.map(({ name }) => name));
  const isLoopback = /^(localhost|127\.[\d.]+|::1)$/.test(settings.COMFYQ_HOST);
  const { S3_BUCKET, S3_ENDPOINT } = settings;
  return {
    folder,
    logFolder: join(folder, "logs"),
    files: S3_BUCKET
      ? `bucket ${S3_BUCKET}${S3_ENDPOINT ? ` at ${stripUrl(S3_ENDPOINT)}` : ""}`
      : join(folder, "files"),
    keysFile,
    needsKey: !isLoopback || (await hasKeys(keysFile)),
    warnings: unknownSettings(inheritedEnv(), [...known, "COMFYQ_DIE_WITH_PARENT", "COMFYQ_FAIL_POINTS"]),
  };
}

async function hasKeys(path: string): Promise<boolean> {
  try {
    return KeysFile.parse(JSON.parse(await readFile(path, "utf8"))).keys.length > 0;
  } catch {
    return false; // none yet; one that cannot be read is the API's to refuse
  }
}

function untilAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((done) => {
    if (signal.aborted) done(undefined);
    signal.addEventListener("abort", () => done(undefined), { once: true });
  });
}
