import { connectComfyUi } from "@comfyq/comfyui";
import { openClaimer, publishClasses } from "@comfyq/queue";
import {
  createHealth,
  createLogger,
  createMetrics,
  createSafeFetch,
  type Logger,
  reportAndExit,
  retentionMs,
  runService,
  type Service,
  sleep,
  startHealthServer,
  storageOptions,
  storageUrl,
} from "@comfyq/runtime";
import { openStorage } from "@comfyq/storage";
import { readConfig, type WorkerConfig } from "./config.ts";
import { type Activity, type Heartbeat, startHeartbeat } from "./heartbeat.ts";
import { watchInstance } from "./instance.ts";
import type { Tools } from "./tools.ts";
import { workLoop } from "./workLoop.ts";

/** After draining, time for the last writes and closings. */
const CLOSING_MS = 4_000;
/** Longest silence of an input's source. */
const INPUT_IDLE_MS = 30_000;

async function start(service: Service, config: WorkerConfig, log: Logger): Promise<void> {
  const claimer = await openClaimer({
    redisUrl: config.REDIS_URL,
    prefix: config.COMFYQ_PREFIX,
    retentionMs: retentionMs(config),
    allowUnsafeRedis: config.COMFYQ_ALLOW_UNSAFE_REDIS,
    pool: config.COMFYQ_POOL,
    workerId: config.workerId,
    onTrouble: (cause) => log.warn({ cause }, "the queue is in trouble"),
  });
  service.onStop("close the queue", () => claimer.close());
  const store = openStorage(storageUrl(config), storageOptions(config));
  service.onStop("close the store", () => store.close());
  const comfyui = connectComfyUi({
    url: config.COMFYUI_URL,
    ...(config.COMFYUI_API_KEY === undefined ? {} : { apiKey: config.COMFYUI_API_KEY }),
    onEvent: (event) => log.debug({ event }, "comfyui"),
  });
  service.onStop("close ComfyUI's connections", () => comfyui.close());
  let heartbeat: Heartbeat | undefined;
  const instance = watchInstance({
    comfyui,
    log,
    onLearned: ({ fingerprint, classes }) => publishClasses(claimer.room, fingerprint, classes),
    onChange: () => void heartbeat?.beatNow().catch(() => {}), // the next regular beat tells the same
  });
  const activity: Activity = { renderingJobId: null, holding: 0, draining: false };
  const fetchInput = createSafeFetch({
    allowHosts: config.COMFYQ_ALLOW_HOSTS,
    maxBytes: config.COMFYQ_MAX_INPUT_BYTES,
    timeoutMs: config.COMFYQ_INPUT_TIMEOUT_S * 1_000,
    idleTimeoutMs: INPUT_IDLE_MS,
  });
  const tools: Tools = { config, comfyui, store, fetchInput, log };
  const draining = new AbortController();
  heartbeat = startHeartbeat({ room: claimer.room, config, instance, activity, log, signal: service.signal });
  const loop = workLoop({ claimer, instance, tools, activity, stopping: service.signal, draining: draining.signal });
  loop.catch((error: unknown) => service.stop(error instanceof Error ? error : new Error(String(error))));
  service.onStop("drain", async (hurry) => {
    activity.draining = true;
    await claimer.stopClaiming();
    hurry.addEventListener("abort", () => draining.abort(), { once: true });
    sleep(config.COMFYQ_DRAIN_S * 1_000, hurry).then(
      () => draining.abort(),
      () => {},
    );
    await loop.catch(() => {});
  });
  await serveHealth(
    service,
    config,
    () => instance.trouble(),
    () => claimer.room.redis.ping(),
  );
}

async function serveHealth(
  service: Service,
  config: WorkerConfig,
  trouble: () => string | undefined,
  ping: () => Promise<unknown>,
): Promise<void> {
  const health = createHealth();
  health.add("redis", ping);
  health.add("comfyui", () => {
    const reason = trouble();
    if (reason !== undefined) throw new Error(reason);
  });
  const server = await startHealthServer({
    host: config.COMFYQ_HEALTH_HOST,
    port: config.COMFYQ_HEALTH_PORT,
    health,
    metrics: createMetrics({ defaults: true }),
  });
  service.onStop("close the health server", () => server.close());
  const ready = { ready: "worker", id: config.workerId, pool: config.COMFYQ_POOL, health: server.url };
  if (config.COMFYQ_PRINT_READY) process.stdout.write(`${JSON.stringify(ready)}\n`);
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
