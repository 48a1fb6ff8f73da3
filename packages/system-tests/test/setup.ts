import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { isTerminal, type Job, type WorkerBeat } from "@comfyq/contract";
import { type PrivateRedis, startPrivateRedis } from "@comfyq/queue/testing";
import { tenantWebhookSecret } from "@comfyq/runtime";
import { asCustomer, type Customer } from "./customer.ts";
import { type Running, startProcess } from "./processes.ts";
import { startTcpProxy, type TcpProxy } from "./tcpProxy.ts";
import { startWebhookSink, type WebhookSink } from "./webhookSink.ts";

export interface SetupOptions {
  /** Pairs of one simulator and one worker. Default 1. */
  readonly workers?: number;
  /** Flags of every simulator, or of each by its number. */
  readonly simulatorArgs?: readonly string[] | ((at: number) => readonly string[]);
  /** Real servers instead of simulators. */
  readonly comfyUiUrls?: readonly string[];
  /** Settings for every process of the product. */
  readonly env?: Readonly<Record<string, string>>;
  /** A line of its own to Redis for each worker, one for the API and one for the dispatcher: `system.lines`. */
  readonly proxied?: boolean;
  /** False: the simulators wait for workers that the test starts with `restartWorker`. */
  readonly startWorkers?: boolean;
  /** Settings of one worker, by its number and the address of its ComfyUI, each time it starts: its pool, say. */
  readonly workerEnv?: (at: number, url: string) => Readonly<Record<string, string>>;
  /** Locks, fences and heartbeats this much shorter in every process (COMFYQ_TIME_SCALE). Default 1: as shipped. */
  readonly timeScale?: number;
}

/** The lines to Redis that a test can break. */
interface Lines {
  readonly api: TcpProxy;
  readonly dispatcher: TcpProxy;
  /** In the order of the workers. */
  readonly workers: readonly TcpProxy[];
}

/** The whole product as real processes on this machine, with a folder store, a private Redis and a webhook receiver. */
export interface System extends Customer, AsyncDisposable {
  readonly url: string;
  readonly redis: PrivateRedis;
  readonly sink: WebhookSink;
  readonly workers: Running[];
  readonly simulators: readonly Running[];
  /** Addresses of the ComfyUI servers, in the order of their workers. */
  readonly instances: readonly string[];
  /** The newest of each. */
  readonly api: Running;
  readonly dispatcher: Running;
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
  /** @throws Error unless `proxied` */
  readonly lines: Lines;
  /** The events of every process, in the order they were noted; see `noteHistory`. */
  history(): Promise<readonly HistoryLine[]>;
  /** Asks Redis itself, past every proxy: `redisCommand("CONFIG", "SET", "maxmemory", "1")`. @throws Error with its answer */
  redisCommand(...words: readonly string[]): Promise<string>;
  /** Starts the worker of simulator `at` again, after it was stopped. */
  restartWorker(at: number, env?: Readonly<Record<string, string>>): Promise<Running>;
  /** Starts simulator `at` again at its old address, after it ended: its files are there, its memory is not. */
  restartSimulator(at: number): Promise<void>;
  /** Starts the API again at its old address, after it was stopped. */
  restartApi(env?: Readonly<Record<string, string>>): Promise<Running>;
  restartDispatcher(env?: Readonly<Record<string, string>>): Promise<Running>;
}

/** One moment of the history; `t` in Unix ms, `actor` a process id, or a simulator's name. */
export interface HistoryLine {
  readonly t: number;
  readonly actor: number | string;
  readonly op: string;
  readonly job?: string;
  readonly epoch?: number;
  readonly prompt?: string;
  readonly [fact: string]: unknown;
}

/** Reads JSON as what the test then asserts it to be. */
export async function readJson<T>(answer: Response | Promise<Response>): Promise<T> {
  return (await (await answer).json()) as T;
}

/** Waits until so many workers have met their ComfyUI. */
async function untilIdle(url: string, count: number): Promise<void> {
  const idle = async () => {
    const { workers } = await readJson<{ workers: WorkerBeat[] }>(fetch(`${url}/v1/workers`));
    return workers.filter(({ state }) => state === "idle").length;
  };
  while ((await idle()) < count) await new Promise((resolve) => setTimeout(resolve, 50));
}

export const isFinished = (job: Job) => isTerminal(job.status);

export async function setup(options: SetupOptions = {}): Promise<System> {
  const dataDir = await mkdtemp(join(tmpdir(), "comfyq-system-"));
  const redis = await startPrivateRedis();
  const sink = await startWebhookSink(() => tenantWebhookSecret(secret, "default"));
  const base = {
    REDIS_URL: redis.url,
    COMFYQ_DATA_DIR: dataDir,
    COMFYQ_PORT: "0",
    COMFYQ_DRAIN_S: "5",
    COMFYQ_ALLOW_HOSTS: "127.0.0.1:*",
    COMFYQ_FAIL_POINTS: "1",
    COMFYQ_TIME_SCALE: String(options.timeScale ?? 1),
    COMFYQ_HISTORY_FILE: join(dataDir, "history.jsonl"),
    ...options.env,
  };
  const wanted = options.comfyUiUrls ? 0 : (options.workers ?? 1);
  const startOne = (at: number, port: string) => {
    const { simulatorArgs = [] } = options;
    const own = typeof simulatorArgs === "function" ? simulatorArgs(at) : simulatorArgs;
    const history = base.COMFYQ_HISTORY_FILE === "" ? [] : ["--history", base.COMFYQ_HISTORY_FILE];
    const places = ["--dir", join(dataDir, `comfyui-${at}`), ...history];
    return startProcess("simulator", { args: ["--port", port, ...places, ...own] });
  };
  const simulators = await Promise.all(Array.from({ length: wanted }, (_, at) => startOne(at, "0")));
  const instances = options.comfyUiUrls ?? simulators.map(({ ready }) => String(ready["url"]));
  const lines = options.proxied ? await layLines(redis.url, instances.length) : undefined;
  const via = (line: TcpProxy | undefined) => (line ? { REDIS_URL: line.url } : {});
  const startWorker = (at: number, env: Readonly<Record<string, string>> = {}) =>
    startProcess("worker", {
      env: {
        ...base,
        ...via(lines?.workers[at]),
        COMFYUI_URL: String(instances[at]),
        COMFYQ_WORKER_ID: `worker-${at}`,
        ...options.workerEnv?.(at, String(instances[at])),
        ...env,
      },
    });
  const startApi = (port: string, env: Readonly<Record<string, string>> = {}) =>
    startProcess("api", { env: { ...base, ...via(lines?.api), COMFYQ_PORT: port, ...env } });
  let api = await startApi("0");
  const url = String(api.ready["url"]);
  const startDispatcher = (env: Readonly<Record<string, string>> = {}) =>
    startProcess("dispatcher", { env: { ...base, ...via(lines?.dispatcher), COMFYQ_PUBLIC_URL: url, ...env } });
  let dispatcher = await startDispatcher();
  const secret = (await readFile(join(dataDir, "secrets", "webhook-secret"), "utf8")).trim();
  const starting = options.startWorkers === false ? [] : instances.map((_, at) => startWorker(at));
  const workers = await Promise.all(starting);
  await untilIdle(url, workers.length);
  const all = () => [...workers, api, dispatcher, ...simulators].filter((running) => running !== undefined);
  const troubles = () =>
    all()
      .map((running) => running.log())
      .join("\n");

  return {
    url,
    redis,
    sink,
    workers,
    simulators,
    instances,
    get api() {
      return api;
    },
    get dispatcher() {
      return dispatcher;
    },
    dataDir,
    get lines() {
      if (!lines) throw new Error("setup was not asked for proxied lines");
      return lines;
    },
    history: () => readHistory(base.COMFYQ_HISTORY_FILE),
    redisCommand: async (...words) => {
      const { stdout } = await promisify(execFile)("redis-cli", ["-e", "-s", redis.url, ...words]);
      return stdout.trim();
    },
    env: base,
    ...asCustomer(url, troubles),
    restartWorker: async (at, env) => {
      const worker = await startWorker(at, env);
      workers[at] = worker;
      return worker;
    },
    restartSimulator: async (at) => {
      simulators[at] = await startOne(at, new URL(String(instances[at])).port);
    },
    restartApi: async (env) => {
      api = await startApi(new URL(url).port, env);
      return api;
    },
    restartDispatcher: async (env) => {
      dispatcher = await startDispatcher(env);
      return dispatcher;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(all().map((running) => running.stop("SIGKILL")));
      await sink.close();
      await Promise.all(lines ? [lines.api, lines.dispatcher, ...lines.workers].map((line) => line.close()) : []);
      await redis.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function layLines(redisUrl: string, workers: number): Promise<Lines> {
  const lay = () => startTcpProxy(redisUrl);
  const [api, dispatcher] = await Promise.all([lay(), lay()]);
  return { api, dispatcher, workers: await Promise.all(Array.from({ length: workers }, lay)) };
}

/** Nobody has written anything while there is no file. */
async function readHistory(path: string): Promise<readonly HistoryLine[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
