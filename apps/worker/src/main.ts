import type { ComfyUi } from "@comfyq/comfyui";
import { toMoment } from "@comfyq/contract";
import { createTurnstile } from "@comfyq/media";
import { type Claimer, openClaimer } from "@comfyq/queue";
import {
  createLogger,
  createSafeFetch,
  createSecretBox,
  type Logger,
  noteHistory,
  nowMs,
  printReady,
  readOrCreateSecret,
  readSwitches,
  reportAndExit,
  retentionMs,
  runService,
  type Service,
  secretPath,
  serveHealth,
  sleep,
  storageOptions,
  storageUrl,
} from "@comfyq/runtime";
import { openStorage } from "@comfyq/storage";
import { type Activity, newActivity } from "./activity.ts";
import { stopEarlier } from "./attempt/stopEarlier.ts";
import { cacheLimitsOf, credentialsPath, readConfig, type WorkerConfig } from "./config.ts";
import { type Heartbeat, startHeartbeat } from "./heartbeat.ts";
import { createCredentials } from "./inputs/credentials.ts";
import { readCredentialsFile } from "./inputs/credentialsFile.ts";
import { createInputs } from "./inputs/inputs.ts";
import { startStageAhead } from "./inputs/stageAhead.ts";
import { readCanary } from "./instance/canary.ts";
import type { Instance } from "./instance/instance.ts";
import { reasonOf } from "./instance/instanceHealth.ts";
import { publishFacts } from "./instance/publishFacts.ts";
import { createStallPatience } from "./instance/stallPatience.ts";
import { watchInstance } from "./instance/watchInstance.ts";
import { measureAttempts, measureWork } from "./measure.ts";
import { measureModels } from "./models/measureModels.ts";
import { openModelStore } from "./models/modelStore.ts";
import { createModelsAhead } from "./models/modelsAhead.ts";
import { openComfyUi } from "./openComfyUi.ts";
import type { Tools } from "./tools.ts";
import { type LoopOptions, workLoop } from "./workLoop.ts";

/** After draining, time for the last writes and closings. */
const CLOSING_MS = 4_000;
/** Of that, the time for what insists on stopping a prompt. */
const LEAVING_MS = 2_000;
/** Longest silence of an input's source. */
const INPUT_IDLE_MS = 30_000;

type Supplies = Pick<Tools, "store" | "fetchInput" | "secretBox" | "credentials" | "inputs" | "models">;

interface Base {
  readonly service: Service;
  readonly config: WorkerConfig;
  readonly log: Logger;
  readonly claimer: Claimer;
  readonly comfyui: ComfyUi;
  readonly activity: Activity;
  readonly supplies: Supplies;
}

async function start(service: Service, config: WorkerConfig, log: Logger): Promise<void> {
  const comfyui = openComfyUi(config, log);
  service.onStop("close ComfyUI's connections", () => comfyui.close());
  const activity = newActivity(toMoment(nowMs()), config);
  const claimer = await openQueue({ service, config, log, comfyui, activity });
  const supplies = await openSupplies({ service, config, log, comfyui });
  const base: Base = { service, config, log, claimer, comfyui, activity, supplies };
  const instance = await startInstance(base);
  const tools = openTools(base, instance);
  const { inputs, secretBox } = supplies;
  const { signal } = service;
  const models = createModelsAhead(tools, signal);
  const ahead = startStageAhead({ claimer, inputs, models, secretBox, config, activity, log, signal });
  startWork(service, { claimer, tools, activity, ahead });
  const health = await serveHealth(service, {
    host: config.COMFYQ_HEALTH_HOST,
    port: config.COMFYQ_HEALTH_PORT,
    measure: (metrics) => {
      measureWork(metrics, activity);
      measureAttempts(metrics, activity);
      if (tools.models) measureModels(metrics, tools.models);
    },
    checks: {
      redis: () => claimer.room.redis.ping(),
      comfyui: () => {
        const reason = reasonOf(instance.standing());
        if (reason !== undefined) throw new Error(reason);
      },
    },
  });
  const ready = { ready: "worker", id: config.workerId, pool: config.COMFYQ_POOL, health: health.url };
  printReady(config.COMFYQ_PRINT_READY, ready);
}

async function openQueue({
  service,
  config,
  log,
  comfyui,
  activity,
}: Omit<Base, "claimer" | "supplies">): Promise<Claimer> {
  const { timeScale, breaks } = readSwitches();
  const claimer = await openClaimer({
    redisUrl: config.REDIS_URL,
    prefix: config.COMFYQ_PREFIX,
    retentionMs: retentionMs(config),
    allowUnsafeRedis: config.COMFYQ_ALLOW_UNSAFE_REDIS,
    timeScale,
    breaks,
    pool: config.COMFYQ_POOL,
    workerId: config.workerId,
    instance: config.instanceName,
    instanceId: config.instanceKey,
    placesModels: config.COMFYUI_MODELS_DIR !== undefined,
    cacheLimits: cacheLimitsOf(config),
    ageingMs: config.COMFYQ_AGEING_S * 1_000,
    overflowMs: config.COMFYQ_OVERFLOW_AFTER_S * 1_000,
    onRendered: (shared) => {
      activity.cache.misses += 1;
      activity.cache.shared += shared;
    },
    onJudged: (durationMs) => activity.meter.judged(durationMs),
    onTrouble: (cause) => log.warn({ cause }, "the queue is in trouble"),
    onNotTaken: ({ jobId, verdict }) => {
      const why = verdict.kind === "end" ? verdict.error.code : verdict.why;
      activity.meter.declined(why);
      noteHistory("declined", { job: jobId, instance: config.instanceName, why });
      log.info({ jobId, why }, "job not taken");
    },
    beforeEnding: async (id, earlier, signal) => {
      await stopEarlier({ id, earlier }, { comfyui, config, log }, signal);
    },
  });
  service.onStop("close the queue", () => claimer.close());
  return claimer;
}

/** Watches the instance and tells the fleet of it, until the last job is let go. */
async function startInstance(base: Base): Promise<Instance> {
  const { service, config, log, claimer, comfyui, activity, supplies } = base;
  const canary = config.COMFYQ_CANARY_WORKFLOW;
  let heartbeat: Heartbeat | undefined;
  const instance = watchInstance({
    comfyui,
    claimer,
    config,
    activity,
    log,
    canary: canary === undefined ? undefined : await readCanary(canary),
    onBack: () => supplies.inputs.forgetAll(),
    publish: (facts) => publishFacts(claimer.room, facts),
    onChange: () => void heartbeat?.beatNow().catch(() => {}), // the next regular beat tells the same
    signal: service.signal,
  });
  service.onStop("let go of ComfyUI", () => instance.release());
  heartbeat = startHeartbeat({ room: claimer.room, config, instance, activity, log });
  service.onStop("say goodbye", () => heartbeat?.stop());
  return instance;
}

/** What an attempt works with but for the instance, which tells it when it was away. */
async function openSupplies({
  service,
  config,
  log,
  comfyui,
}: Omit<Base, "supplies" | "claimer" | "activity">): Promise<Supplies> {
  const models = await openModelStore(config);
  service.onStop("let go of the models folder", async () => models?.close());
  const store = openStorage(storageUrl(config), storageOptions(config));
  service.onStop("close the store", () => store.close());
  const fetchInput = createSafeFetch({
    allowHosts: config.COMFYQ_ALLOW_HOSTS,
    maxBytes: config.COMFYQ_MAX_INPUT_BYTES,
    timeoutMs: config.COMFYQ_INPUT_TIMEOUT_S * 1_000,
    idleTimeoutMs: INPUT_IDLE_MS,
  });
  const secretsKey = config.COMFYQ_SECRETS_KEY ?? (await readOrCreateSecret(secretPath(config, "secrets-key")));
  const secretBox = createSecretBox(secretsKey);
  const credentials = createCredentials({
    named: await readCredentialsFile(credentialsPath(config), config.COMFYQ_SECRETS_FILE !== undefined),
    allowHosts: config.COMFYQ_ALLOW_HOSTS,
    openBuckets: config.COMFYQ_S3_INPUT_BUCKETS,
  });
  const inputs = createInputs({ config, comfyui, store, fetchInput, credentials, log });
  return { store, fetchInput, secretBox, credentials, inputs, models };
}

function openTools({ config, log, claimer, comfyui, supplies }: Base, instance: Instance): Tools {
  const patience = createStallPatience(claimer.room, config);
  const [neighbours, pictures] = [() => claimer.neighbours(), createTurnstile()];
  return { config, comfyui, instance, patience, ...supplies, pictures, neighbours, log };
}

type Work = Omit<LoopOptions, "stopping" | "draining" | "leaving">;

/** Works until told to stop; then takes nothing more, and gives back what does not finish within the drain time. */
function startWork(service: Service, work: Work): void {
  const draining = new AbortController();
  const leaving = new AbortController();
  const loop = workLoop({ ...work, stopping: service.signal, draining: draining.signal, leaving: leaving.signal });
  loop.catch((error: unknown) => service.stop(error instanceof Error ? error : new Error(String(error))));
  service.onStop("drain", async (hurry) => {
    work.activity.draining = true;
    await work.claimer.stopClaiming();
    hurry.addEventListener("abort", () => draining.abort(), { once: true });
    sleep(work.tools.config.COMFYQ_DRAIN_S * 1_000, hurry).then(
      () => draining.abort(),
      () => {}, // hurried
    );
    draining.signal.addEventListener("abort", () => void sleep(LEAVING_MS).then(() => leaving.abort()), { once: true });
    await loop.catch(() => {}); // told to the service already
  });
}

try {
  const config = readConfig(process.argv.slice(2));
  const logger = createLogger({ name: "worker", level: config.COMFYQ_LOG_LEVEL });
  const log = logger.child({ worker: config.workerId, instance: config.instanceName });
  const stopWithinMs = config.COMFYQ_DRAIN_S * 1_000 + CLOSING_MS;
  await runService({ name: "worker", logger: log, stopWithinMs, start: (service) => start(service, config, log) });
} catch (error) {
  reportAndExit(error);
}
