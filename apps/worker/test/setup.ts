import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectComfyUi } from "@comfyq/comfyui";
import { type Simulator, type SimulatorOptions, startSimulator } from "@comfyq/comfyui-simulator";
import { isTerminal, type JobFacts, NewJob, type NewJobBody, toMoment, type Workflow } from "@comfyq/contract";
import { createTurnstile } from "@comfyq/media";
import { type Claimer, openClaimer, openProducer, type Producer, QueueError } from "@comfyq/queue";
import { type PrivateRedis, startPrivateRedis } from "@comfyq/queue/testing";
import { createLogger, createSafeFetch, createSecretBox } from "@comfyq/runtime";
import { openStorage } from "@comfyq/storage";
import { onTestFinished } from "vitest";
import { newActivity } from "../src/activity.ts";
import { stopEarlier } from "../src/attempt/stopEarlier.ts";
import { credentialsPath, readConfig } from "../src/config.ts";
import { startHeartbeat } from "../src/heartbeat.ts";
import { createCredentials } from "../src/inputs/credentials.ts";
import { readCredentialsFile } from "../src/inputs/credentialsFile.ts";
import { createInputs } from "../src/inputs/inputs.ts";
import { startStageAhead } from "../src/inputs/stageAhead.ts";
import type { Instance } from "../src/instance/instance.ts";
import { publishFacts } from "../src/instance/publishFacts.ts";
import { createStallPatience } from "../src/instance/stallPatience.ts";
import { watchInstance } from "../src/instance/watchInstance.ts";
import { openModelStore } from "../src/models/modelStore.ts";
import { createModelsAhead } from "../src/models/modelsAhead.ts";
import type { Tools } from "../src/tools.ts";
import { workLoop } from "../src/workLoop.ts";

/** Locks of 2 s, so that a lost one is found out soon; all parts of a house agree on it. */
const TIME_SCALE = 0.2;

/** What the secrets of a house's jobs are sealed with. */
export const SECRETS_KEY = "the key of a house that only tests live in";

export interface House {
  readonly redis: PrivateRedis;
  readonly producer: Producer;
  /** The folder that all workers of the house store in. */
  readonly files: string;
  simulator(options?: SimulatorOptions): Promise<Simulator>;
  /** A claimer that does nothing by itself: a worker that died, say. */
  claimer(instance: string, workerId?: string): Promise<Claimer>;
  /** A whole worker, at work in this process. */
  worker(url: string, settings?: Readonly<Record<string, string>>): Promise<TestWorker>;
  submit(workflow: Workflow, more?: Partial<NewJobBody>): Promise<string>;
  read(id: string): Promise<JobFacts>;
  /** Looks until the job is as wanted. @throws Error when it ended otherwise */
  until(id: string, isWanted: (job: JobFacts) => boolean): Promise<JobFacts>;
}

interface TestWorker {
  readonly id: string;
  readonly instance: Instance;
  readonly tools: Tools;
  /** Gives back what it holds, and leaves. Safe to repeat. */
  close(): Promise<void>;
}

export const isEnded = ({ status }: Pick<JobFacts, "status">) => isTerminal(status);

/** Waits for a fact. */
export async function eventually(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** A fail point that blocks the process also keeps it from hearing Redis's answer in time. */
function ifUnavailable(error: unknown): undefined {
  if (!(error instanceof QueueError && error.code === "unavailable")) throw error;
}

/** A private Redis, a folder, and what is opened in them; everything is gone when the test is. */
export async function setup(): Promise<House> {
  const redis = await startPrivateRedis();
  const files = await mkdtemp(join(tmpdir(), "worker-test-"));
  const shared = { redisUrl: redis.url, timeScale: TIME_SCALE };
  const producer = await openProducer(shared);
  const closings: (() => Promise<unknown>)[] = [
    () => rm(files, { recursive: true, force: true }),
    () => redis.close(),
    () => producer.close(),
  ];
  onTestFinished(async () => {
    for (const close of closings.toReversed()) await close();
  });
  let workers = 0;
  const read = async (id: string) => {
    const job = await producer.read("default", id);
    if (!job) throw new Error(`there is no job ${id}`);
    return job;
  };
  return {
    redis,
    producer,
    files,
    simulator: async (options) => {
      const simulator = await startSimulator({ stepMs: 5, ...options });
      closings.push(() => simulator.close());
      return simulator;
    },
    claimer: async (instance, workerId = "lost") => {
      const claimer = await openClaimer({ ...shared, pool: "default", workerId, instance });
      closings.push(() => claimer.close());
      return claimer;
    },
    worker: async (url, settings) => {
      workers += 1;
      const worker = await openWorker(url, { COMFYQ_WORKER_ID: `w${workers}`, ...settings }, { ...shared, files });
      closings.push(() => worker.close());
      return worker;
    },
    submit: async (workflow, more) => {
      const id = randomUUID();
      const job = NewJob.parse({ workflow, ...more });
      await producer.submit({ id, tenant: "default", job, bodySha256: "0".repeat(64) });
      return id;
    },
    read,
    until: async (id, isWanted) => {
      for (;;) {
        const job = await read(id).catch(ifUnavailable);
        if (job && isWanted(job)) return job;
        if (job && isEnded(job)) throw new Error(`job ended as ${job.status}: ${JSON.stringify(job.error)}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
  };
}

interface Shared {
  readonly redisUrl: string;
  readonly timeScale: number;
  readonly files: string;
}

/** What main.ts builds, without a process around it. */
async function openWorker(
  url: string,
  settings: Readonly<Record<string, string>>,
  { redisUrl, timeScale, files }: Shared,
): Promise<TestWorker> {
  const all = { REDIS_URL: redisUrl, COMFYUI_URL: url, COMFYQ_DATA_DIR: files, ...settings };
  const flags = Object.entries(all).map(([name, value]) => `--${name.toLowerCase().replaceAll("_", "-")}=${value}`);
  const config = { ...readConfig(flags), timeScale };
  const log = createLogger({ name: "worker", level: process.env["TEST_LOG"] === "1" ? "info" : "fatal" });
  const comfyui = connectComfyUi({ url, pollMs: 100, unreachableMs: 3_000 });
  const [pool, workerId, instance] = [config.COMFYQ_POOL, config.workerId, config.instanceName];
  const placesModels = config.COMFYUI_MODELS_DIR !== undefined;
  const beforeEnding: Parameters<typeof openClaimer>[0]["beforeEnding"] = async (id, earlier, signal) => {
    await stopEarlier({ id, earlier }, { comfyui, config, log }, signal);
  };
  const claimer = await openClaimer({ redisUrl, timeScale, pool, workerId, instance, beforeEnding, placesModels });
  const activity = newActivity(toMoment(Date.now()), config);
  const [stopping, draining, leaving] = [new AbortController(), new AbortController(), new AbortController()];
  const store = openStorage(join(files, "store"));
  const fetchInput = createSafeFetch({
    allowHosts: ["127.0.0.1:*"],
    maxBytes: 1e6,
    timeoutMs: 5_000,
    idleTimeoutMs: 5_000,
  });
  const credentials = createCredentials({
    named: await readCredentialsFile(credentialsPath(config), config.COMFYQ_SECRETS_FILE !== undefined),
    allowHosts: ["127.0.0.1:*"],
    openBuckets: config.COMFYQ_S3_INPUT_BUCKETS,
  });
  const inputs = createInputs({ config, comfyui, store, fetchInput, credentials, log });
  const watched = watchInstance({
    comfyui,
    claimer,
    config,
    activity,
    log,
    canary: undefined,
    onBack: () => inputs.forgetAll(),
    publish: (facts) => publishFacts(claimer.room, facts),
    onChange: () => {},
    signal: stopping.signal,
  });
  const heartbeat = startHeartbeat({ room: claimer.room, config, instance: watched, activity, log });
  const patience = createStallPatience(claimer.room, config);
  const neighbours = () => claimer.neighbours();
  const secretBox = createSecretBox(SECRETS_KEY);
  const models = await openModelStore(config);
  const tools: Tools = {
    ...{
      config,
      comfyui,
      instance: watched,
      patience,
      store,
      fetchInput,
      credentials,
      inputs,
      models,
      neighbours,
      log,
    },
    pictures: createTurnstile(),
    secretBox,
  };
  const signals = { stopping: stopping.signal, draining: draining.signal, leaving: leaving.signal };
  const signal = stopping.signal;
  const modelsAhead = createModelsAhead(tools, signal);
  const ahead = startStageAhead({ claimer, inputs, models: modelsAhead, secretBox, config, activity, log, signal });
  const loop = workLoop({ claimer, tools, activity, ahead, ...signals });
  const close = async () => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    await claimer.stopClaiming();
    draining.abort();
    leaving.abort();
    await loop;
    await heartbeat.stop();
    await watched.release();
    await comfyui.close();
    await models?.close();
    await claimer.close();
  };
  return { id: workerId, instance: watched, tools, close };
}

/** Sleeps so long in one node and then saves. Without steps it cannot be interrupted. */
export function sleeper(ms: number, steps: number): Workflow {
  return {
    "1": { class_type: "SimSleep", inputs: { ms, steps, value: randomUUID() } },
    "2": { class_type: "SimOutput", inputs: { input: ["1", 0], bytes: 5_000, seed: 1, filename_prefix: "a" } },
  };
}

/** Submits a prompt to a simulator behind everybody's back, marked as one of ours. */
export async function leavePrompt(
  url: string,
  workflow: Workflow,
  mark: { readonly job_id: string; readonly epoch: number } | { readonly canary: true } | undefined,
): Promise<string> {
  const promptId = randomUUID();
  const body = JSON.stringify({ prompt: workflow, prompt_id: promptId, extra_data: { comfyq: mark } });
  const answer = await fetch(`${url}/prompt`, { method: "POST", body });
  if (answer.status !== 200) throw new Error(await answer.text());
  return promptId;
}

/** Ids in a simulator's queue. */
export async function queueOf(url: string): Promise<readonly string[]> {
  const answer = (await (await fetch(`${url}/queue`)).json()) as Record<string, [number, string][]>; // the simulator's own
  return [...(answer["queue_running"] ?? []), ...(answer["queue_pending"] ?? [])].map(([, id]) => id);
}

/** Ids in a simulator's history, oldest first. */
export async function historyOf(url: string): Promise<readonly string[]> {
  return Object.keys((await (await fetch(`${url}/history`)).json()) as object); // an object by id
}

/** Stored manifests, by job. */
export async function manifestOf(files: string, jobId: string): Promise<{ epoch: number } | undefined> {
  const folder = join(files, "store", "jobs", jobId);
  const names: readonly string[] = await readdir(folder).catch(() => []);
  return names.includes("manifest.json")
    ? JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"))
    : undefined;
}
