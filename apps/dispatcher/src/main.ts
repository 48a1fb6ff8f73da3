import type { ErrandName } from "@comfyq/contract";
import {
  type GateLimits,
  openErrands,
  type QueueRoom,
  sweepAssets,
  sweepBatches,
  sweepDeliveries,
  sweepExpired,
  sweepRetention,
  tendGates,
} from "@comfyq/queue";
import {
  createLogger,
  createSafeFetch,
  createSecretBox,
  failPoint,
  type Logger,
  type Metrics,
  newId,
  printReady,
  readSwitches,
  reportAndExit,
  retentionMs,
  runService,
  type Service,
  serveHealth,
  storageOptions,
  storageUrl,
} from "@comfyq/runtime";
import { openStorage, type Storage } from "@comfyq/storage";
import { answer } from "./answer/answer.ts";
import { type DispatcherConfig, readConfig, secretsKey, webhookMaster } from "./config.ts";
import { deliver } from "./deliver.ts";
import { createDeliveryTally } from "./measureDeliveries.ts";
import { runSettlement } from "./runSettlement.ts";
import { receiverOf } from "./signing.ts";
import { removeAsset, sweepStore } from "./sweepFiles.ts";
import { careForBatches } from "./tellBatch.ts";
import { runTick } from "./tick/runTick.ts";
import { createTickMeter } from "./tick/tickMeter.ts";
import { watchEndpoint } from "./watchEndpoint.ts";

const STOP_WITHIN_MS = 20_000;

async function start(service: Service, config: DispatcherConfig, log: Logger): Promise<void> {
  const store = openStorage(storageUrl(config), storageOptions(config));
  service.onStop("close the store", () => store.close());
  const keys = { box: createSecretBox(await secretsKey(config)), master: await webhookMaster(config) };
  const timeoutMs = config.COMFYQ_WEBHOOK_TIMEOUT_S * 1_000;
  const post = createSafeFetch({
    allowHosts: config.COMFYQ_ALLOW_HOSTS,
    timeoutMs,
    idleTimeoutMs: timeoutMs,
    maxBytes: 65_536,
    userAgent: "comfyq-webhooks",
  });
  const assetRetentionMs = config.COMFYQ_ASSET_RETENTION_DAYS * DAY_MS;
  const { timeScale, breaks } = readSwitches();
  const sweeper = { store, assetRetentionMs, publicUrl: config.COMFYQ_PUBLIC_URL };
  const tally = { hits: 0 };
  const meter = createTickMeter();
  const deliveries = createDeliveryTally();
  const gates = { perHost: config.COMFYQ_WEBHOOKS_PER_HOST, leaseMs: timeoutMs + LEASE_RESERVE_MS };
  const answering = { store, name: `dispatcher:${newId()}`, log, tally };
  const errands = await openErrands({
    redisUrl: config.REDIS_URL,
    prefix: config.COMFYQ_PREFIX,
    retentionMs: retentionMs(config),
    allowUnsafeRedis: config.COMFYQ_ALLOW_UNSAFE_REDIS,
    timeScale,
    breaks,
    gates,
    sender: answering.name,
    onTrouble: (cause) => log.warn({ cause }, "the queue is in trouble"),
    run: {
      settlement: (settlement, room) => runSettlement(room, settlement, config.COMFYQ_PUBLIC_URL),
      answer: (notice, room) => answer(notice, room, answering),
      delivery: async (delivery, order, room) => {
        const report = await deliver(
          { delivery, order },
          { post, log, receiver: (one) => receiverOf(room, keys, one) },
        );
        await watchEndpoint(room, { delivery, order, report }, { log, onDisabled: deliveries.noteDisabled });
        deliveries.note(report);
        return report;
      },
      deliveryNoted: ({ type, jobId }, { eventId }) =>
        failPoint("delivery_noted", { event: eventId, type, job: jobId }),
      tick: (schedule, room) => runTick(room, schedule, { log, meter }),
      errand: async (name, room) => {
        const swept = await runErrand(name, room, { ...sweeper, gates, signal: service.signal });
        if (swept > 0) log.info({ errand: name, swept }, "swept");
      },
    },
  });
  service.onStop("finish errands", () => errands.close());
  const health = await serveHealth(service, {
    host: config.COMFYQ_HEALTH_HOST,
    port: config.COMFYQ_HEALTH_PORT,
    checks: { redis: () => errands.room.redis.ping() },
    measure: (metrics) => {
      measureCache(metrics, tally);
      measureTold(metrics, errands.room.told);
      meter.measure(metrics);
      deliveries.register(metrics, errands.room);
    },
  });
  printReady(config.COMFYQ_PRINT_READY, { ready: "dispatcher", health: health.url });
}

/** Shows how many jobs needed no GPU. */
function measureCache(metrics: Metrics, tally: { readonly hits: number }): void {
  const hits = metrics.counter("comfyq_cache_hits_total", "Jobs that were given the result of an identical one");
  metrics.onScrape("cache", () => {
    hits.reset();
    hits.inc(tally.hits);
  });
}

/** Shows what was told to whom it concerns: one for each recipient. */
function measureTold(metrics: Metrics, told: ReadonlyMap<string, number>): void {
  const events = metrics.counter("comfyq_webhook_events_total", "Events queued for a webhook, by type", ["type"]);
  metrics.onScrape("webhook_events", () => {
    events.reset();
    for (const [type, count] of told) events.inc({ type }, count);
  });
}

const DAY_MS = 24 * 3_600_000;
/** A slot at a host's gate outlives the longest try by this much: looking up its receiver and noting its end take time, too. */
const LEASE_RESERVE_MS = 15_000;

interface Sweeper {
  readonly store: Storage;
  readonly assetRetentionMs: number;
  readonly publicUrl: string;
  readonly signal: AbortSignal;
  readonly gates: GateLimits;
}

/** @returns how many jobs, batches, deliveries, assets or half-written objects were removed, or looked after */
async function runErrand(name: ErrandName, room: QueueRoom, sweeper: Sweeper): Promise<number> {
  const { store, assetRetentionMs, gates } = sweeper;
  switch (name) {
    case "sweep_expired":
      return sweepExpired(room);
    case "sweep_retention": {
      const jobs = await sweepRetention(room, async (prefix) => void (await store.removePrefix(prefix)));
      await tendGates(room, gates);
      const batches = await sweepBatches(room);
      const deliveries = await sweepDeliveries(room);
      const assets = await sweepAssets(room, assetRetentionMs, (tenant, id) => removeAsset(store, tenant, id));
      return jobs + batches + deliveries + assets;
    }
    case "sweep_storage":
      return sweepStore(room, store);
    case "care_for_batches":
      return careForBatches(room, sweeper.publicUrl, sweeper.signal);
  }
}

try {
  const config = readConfig(process.argv.slice(2));
  const logger = createLogger({ name: "dispatcher", level: config.COMFYQ_LOG_LEVEL });
  await runService({
    name: "dispatcher",
    logger,
    stopWithinMs: STOP_WITHIN_MS,
    start: (service) => start(service, config, logger),
  });
} catch (error) {
  reportAndExit(error);
}
