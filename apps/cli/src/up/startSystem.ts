import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stripUrl } from "@comfyq/runtime";
import { fromWhereCalled, inheritedEnv } from "../config.ts";
import { tryToListen } from "./checkPort.ts";
import { workerEnvs } from "./comfyUis.ts";
import type { Fleet } from "./fleet.ts";
import { installDebianRedis } from "./installRedis.ts";
import { obtainRedis } from "./obtainRedis.ts";
import { preparePrivateRedis } from "./privateRedis.ts";
import { ReadyAtUrl, ReadyOnly, roomPlan } from "./processes.ts";
import { redisUrl } from "./redisPing.ts";
import { machineProbes } from "./redisProbes.ts";
import type { UpSettings } from "./settings.ts";

/** What came up, for the start screen. */
export interface RunningSystem {
  /** Where the API listens, as a client on this machine reaches it. */
  readonly apiUrl: string;
  /** Which Redis, in words. */
  readonly redis: string;
  readonly comfyUiUrls: readonly string[];
  readonly areSimulators: boolean;
}

/** What `startSystem` works with; `folder` is absolute. */
export interface StartOptions {
  readonly settings: UpSettings;
  readonly folder: string;
  readonly fleet: Fleet;
  readonly say: (line: string) => void;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Starts everything, each as soon as what it needs is up. @throws CliError of the first that could not start */
export async function startSystem(options: StartOptions): Promise<RunningSystem> {
  const { settings, folder } = options;
  const redis = await startRedis(options);
  const env: Env = {
    ...inheritedEnv(),
    REDIS_URL: redis.url,
    COMFYQ_DATA_DIR: folder,
    COMFYQ_DRAIN_S: String(settings.COMFYQ_DRAIN_S),
    COMFYQ_HEALTH_PORT: "0", // one setting for many processes: each takes a free one
    COMFYQ_WORKER_ID: undefined,
    COMFYQ_INSTANCE_ID: undefined,
    COMFYUI_MODELS_DIR: modelsDirOf(settings),
    COMFYUI_API_KEY: undefined, // keys are the workers' business, and each belongs to one host
    COMFYUI_API_KEYS: undefined,
  };
  const [apiUrl, comfyUiUrls] = await Promise.all([
    startApiAndDispatcher(options, env),
    startComfyUis(options).then(async (urls) => {
      await startWorkers(options, env, urls);
      return urls;
    }),
  ]);
  return {
    apiUrl,
    redis: redis.shown,
    comfyUiUrls: comfyUiUrls.map(stripUrl),
    areSimulators: settings.COMFYUI_URLS === undefined,
  };
}

/** One folder for all: each ComfyUI must read it, and whoever has several gives each worker its own by hand. */
function modelsDirOf({ COMFYUI_MODELS_DIR: dir }: UpSettings): string | undefined {
  return dir === undefined ? undefined : fromWhereCalled(dir);
}

async function startRedis({ settings, folder, fleet, say }: StartOptions): Promise<{ url: string; shown: string }> {
  if (settings.REDIS_URL !== undefined) return { url: settings.REDIS_URL, shown: stripUrl(settings.REDIS_URL) };
  const program = await obtainRedis({ probes: machineProbes(), install: installDebianRedis }, "any", say);
  const { address, plan } = await preparePrivateRedis(program, join(folder, "redis"));
  await fleet.add("redis", plan);
  const what = program.kind === "docker" ? "redis:7-alpine in Docker" : `${program.path} ${program.version}`;
  const where = address.kind === "socket" ? address.path : `127.0.0.1:${address.port}`;
  return { url: redisUrl(address), shown: `private, ${what}, at ${where}` };
}

async function startComfyUis({ settings, folder, fleet }: StartOptions): Promise<readonly string[]> {
  if (settings.COMFYUI_URLS) return settings.COMFYUI_URLS;
  const numbers = Array.from({ length: settings.COMFYQ_SIMULATORS }, (_, index) => index + 1);
  return Promise.all(
    numbers.map(async (number) => {
      const name = `simulator-${number}`;
      const portFile = join(folder, `${name}.port`);
      // The same port at every start, where it can be had: workers and the records of jobs hold the address.
      let port = await freePortAgain(portFile);
      const models = modelsDirOf(settings);
      const modelsArgs = models === undefined ? [] : ["--models-directory", models];
      const args = () => ["--port", port, "--dir", join(folder, name), ...modelsArgs];
      const plan = roomPlan({ name, room: "packages/comfyui-simulator", args, env: inheritedEnv }, ReadyAtUrl);
      const { url } = await fleet.add("comfyui", plan);
      port = new URL(url).port;
      await writeFile(portFile, port);
      return url;
    }),
  );
}

/** The port written down by an earlier run, when it is free; else 0, the first free one. */
async function freePortAgain(portFile: string): Promise<string> {
  const port = Number(await readFile(portFile, "utf8").catch(() => "0"));
  const isUsable = Number.isInteger(port) && port > 0 && port < 65_536;
  return isUsable && (await tryToListen("127.0.0.1", port)) === undefined ? String(port) : "0";
}

async function startWorkers({ fleet, settings }: StartOptions, env: Env, urls: readonly string[]): Promise<void> {
  const plans = workerEnvs(urls, settings).map((own, index) =>
    roomPlan({ name: `worker-${index + 1}`, room: "apps/worker", env: () => ({ ...env, ...own }) }, ReadyOnly),
  );
  await Promise.all(plans.map((plan) => fleet.add("front", plan)));
}

async function startApiAndDispatcher({ settings, fleet }: StartOptions, env: Env): Promise<string> {
  let port = String(settings.COMFYQ_PORT);
  const api = roomPlan({ name: "api", room: "apps/api", env: () => ({ ...env, COMFYQ_PORT: port }) }, ReadyAtUrl);
  const { url } = await fleet.add("front", api);
  port = new URL(url).port || port;
  const apiUrl = reachable(url);
  const shared = { ...env, COMFYQ_PUBLIC_URL: settings.COMFYQ_PUBLIC_URL ?? apiUrl };
  await fleet.add("front", roomPlan({ name: "dispatcher", room: "apps/dispatcher", env: () => shared }, ReadyOnly));
  return apiUrl;
}

/** An address to listen on is not always one to go to: 0.0.0.0 means every one of this machine. */
function reachable(url: string): string {
  const address = new URL(url);
  if (address.hostname === "0.0.0.0") address.hostname = "127.0.0.1";
  if (address.hostname === "[::]") address.hostname = "[::1]";
  return address.href.replace(/\/$/, "");
}
