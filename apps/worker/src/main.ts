import { connectComfyUi } from "@comfyq/comfyui";
import { type Claimer, openClaimer, publishClasses } from "@comfyq/queue";
import {
  createLogger,
  createSafeFetch,
  type Logger,
  printReady,
  reportAndExit,
  retentionMs,
  runService,
  type Service,
  serveHealth,
  sleep,
  storageOptions,
  storageUrl,
} from "@comfyq/runtime";
import { openStorage } from "@comfyq/storage";
import { readConfig, type WorkerConfig } from "./config.ts";
import { type Activity, type Heartbeat, startHeartbeat } from "./heartbeat.ts";
import { watchInstance } from "./instance.ts";
import type { Tools } from "./tools.ts";
import { type LoopOptions, workLoop } from "./workLoop.ts";

/** After draining, time for the last writes and closings. */
const CLOSING_MS = 4_000;
/** Longest silence of an input's source. */
const INPUT_IDLE_MS = 30_000;

async function start(service: Service, config: WorkerConfig, log: Logger): Promise<void> {
  const claimer = await openQueue(service, config, log);
  const tools = openTools(service, config, log);
  const activity: Activity = { renderingJobId: null, holding: 0, draining: false };
  let heartbeat: Heartbeat | undefined;
  const instance = watchInstance({
    comfyui: tools.comfyui,
    log,
    onLearned: ({ fingerprint, classes }) => publishClasses(claimer.room, fingerprint, classes),
    onChange: () => void heartbeat?.beatNow().catch(() => {}), // the next regular beat tells the same
  });
  heartbeat = startHeartbeat({ room: claimer.room, config, instance, activity, log, signal: service.signal });
  startWork(service, { claimer, instance, tools, activity });
  const health = await serveHealth(service, {
    host: config.COMFYQ_HEALTH_HOST,
    port: config.COMFYQ_HEALTH_PORT,
    checks: {
      redis: () => claimer.room.redis.ping(),
      comfyui: () => {
        const reason = instance.trouble();
        if (reason !== undefined) throw new Error(reason);
      },
    },
  });
  const ready = { ready: "worker", id: config.workerId, pool: config.COMFYQ_POOL, health: health.url };
  printReady(config.COMFYQ_PRINT_READY, ready);
}

async function openQueue(service: Service, config: WorkerConfig, log: Logger): Promise<Claimer> {
  const claimer = await openClaimer({
    redisUrl: config.REDIS_URL,
    prefix: config.COMFYQ_PREFIX,
    retentionMs: retentionMs(config),
    allowUnsafeRedis: config.COMFYQ_ALLOW_UNSAFE_REDIS,
    pool: config.COMFYQ_POOL,
    workerId: config.workerId,
    instance: config.instanceName,
    onTrouble: (cause) => log.warn({ cause }, "the queue is in trouble"),
  });
  service.onStop("close the queue", () => claimer.close());
  return claimer;
}

function openTools(service: Service, config: WorkerConfig, log: Logger): Tools {
  const store = openStorage(storageUrl(config), storageOptions(config));
  service.onStop("close the store", () => store.close());
  const comfyui = connectComfyUi({
    url: config.COMFYUI_URL,
    ...(config.COMFYUI_API_KEY === undefined ? {} : { apiKey: config.COMFYUI_API_KEY }),
    onEvent: (event) => log.debug({ event }, "comfyui"),
  });
  service.onStop("close ComfyUI's connections", () => comfyui.close());
  const fetchInput = createSafeFetch({
    allowHosts: config.COMFYQ_ALLOW_HOSTS,
    maxBytes: config.COMFYQ_MAX_INPUT_BYTES,
    timeoutMs: config.COMFYQ_INPUT_TIMEOUT_S * 1_000,
    idleTimeoutMs: INPUT_IDLE_MS,
  });
  return { config, comfyui, store, fetchInput, log };
}

type Work = Omit<LoopOptions, "stopping" | "draining">;

/** Works until told to stop; then takes nothing more, and gives back what does not finish within the drain time. */
function startWork(service: Service, work: Work): void {
  const draining = new AbortController();
  const loop = workLoop({ ...work, stopping: service.signal, draining: draining.signal });
  loop.catch((error: unknown) => service.stop(error instanceof Error ? error : new Error(String(error))));
  service.onStop("drain", async (hurry) => {
    work.activity.draining = true;
    await work.claimer.stopClaiming();
    hurry.addEventListener("abort", () => draining.abort(), { once: true });
    sleep(work.tools.config.COMFYQ_DRAIN_S * 1_000, hurry).then(
      () => draining.abort(),
      () => {}, // hurried
    );
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
