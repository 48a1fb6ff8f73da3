import type { LimitsFile } from "@comfyq/contract";
import { openProducer } from "@comfyq/queue";
import {
  createAddressRules,
  createHealth,
  createMetrics,
  createSecretBox,
  type Logger,
  readOrCreateSecret,
  readSwitches,
  retentionMs,
  secretPath,
  storageOptions,
  storageUrl,
} from "@comfyq/runtime";
import { openStorage, type Storage } from "@comfyq/storage";
import { type KeyRing, openKeyRing } from "./auth/keyRing.ts";
import { isLoopbackHost } from "./auth/loopback.ts";
import { cachedFor } from "./cachedFor.ts";
import { type ApiSettings, keysFilePath, limitsFilePath } from "./config.ts";
import { openLimits } from "./limits/openLimits.ts";
import type { Rooms } from "./rooms.ts";
import { UPLOAD_BASE } from "./routes/assetUploads.ts";
import { LINK_BASE } from "./routes/serveLink.ts";

/** A new instance's node classes are known within this time; an unknown class is looked up again before it is refused. */
const CLASSES_MS = 2_000;
/** A bucket is asked this often by probes, however many of them there are. */
const STORAGE_READY_MS = 5_000;

/**
 * Opens everything that the API works with. Whoever opened closes: `producer.close()`, `storage.close()`.
 * @param closing aborts when the API stops
 * @throws Error when the API would be open to others without a key, or the keys or limits file is broken; QueueError when Redis is
 * away or can lose jobs
 */
export async function openRooms(settings: ApiSettings, logger: Logger, closing: AbortSignal): Promise<Rooms> {
  const keys = await openKeys(settings, logger);
  const linkSecret = settings.COMFYQ_LINK_SECRET ?? (await readOrCreateSecret(secretPath(settings, "link-secret")));
  const webhookMaster =
    settings.COMFYQ_WEBHOOK_SECRET ?? (await readOrCreateSecret(secretPath(settings, "webhook-secret")));
  const secretsKey = settings.COMFYQ_SECRETS_KEY ?? (await readOrCreateSecret(secretPath(settings, "secrets-key")));
  const secretBox = createSecretBox(secretsKey);
  const webhookAddresses = createAddressRules({ allowHosts: settings.COMFYQ_ALLOW_HOSTS });
  const storage = openStorage(storageUrl(settings), {
    ...storageOptions(settings),
    linkBase: LINK_BASE,
    uploadBase: UPLOAD_BASE,
    linkSecret,
  });
  const { timeScale, breaks } = readSwitches();
  const producer = await openProducer({
    redisUrl: settings.REDIS_URL,
    prefix: settings.COMFYQ_PREFIX,
    retentionMs: retentionMs(settings),
    allowUnsafeRedis: settings.COMFYQ_ALLOW_UNSAFE_REDIS,
    queueCap: settings.COMFYQ_QUEUE_CAP,
    timeScale,
    breaks,
  });
  const publish = (limits: LimitsFile) => producer.publishLimits(limits);
  try {
    const isNamed = settings.COMFYQ_LIMITS_FILE !== undefined;
    await openLimits({ path: limitsFilePath(settings), isNamed, logger, publish, closing });
  } catch (error) {
    await producer.close();
    throw error;
  }
  const health = healthOf(producer, storage);
  const metrics = createMetrics({ defaults: true });
  const classes = rememberClasses(producer);
  const secrets = { linkSecret, webhookMaster, secretBox };
  const rooms = { settings, logger, producer, storage, keys, health, metrics, classes, closing };
  return { ...rooms, ...secrets, webhookAddresses };
}

/** @throws Error when others could reach the API and none of them would need a key */
async function openKeys(settings: ApiSettings, logger: Logger): Promise<KeyRing> {
  const path = keysFilePath(settings);
  const isLoopback = isLoopbackHost(settings.COMFYQ_HOST);
  const keys = await openKeyRing({ path, isLoopback, logger });
  if (isLoopback || keys.countUsable() > 0) return keys;
  throw new Error(
    `COMFYQ_HOST=${settings.COMFYQ_HOST} can be reached by others, and there is no API key in ${path}; ` +
      'make one with "comfyq keys", or listen on 127.0.0.1',
  );
}

function healthOf(producer: Rooms["producer"], storage: Storage): Rooms["health"] {
  const health = createHealth();
  health.add("redis", async () => void (await producer.facts()));
  const askStorage = cachedFor(STORAGE_READY_MS, async () => void (await storage.head("readyz")));
  health.add("storage", () => askStorage());
  return health;
}

function rememberClasses(producer: Rooms["producer"]): Rooms["classes"] {
  const pools = new Map<string, ReturnType<typeof cachedFor<Awaited<ReturnType<Rooms["classes"]>>>>>();
  return (pool, want) => {
    const ask = pools.get(pool) ?? cachedFor(CLASSES_MS, () => producer.knownClasses(pool));
    if (pools.size > 1_000) pools.clear(); // pool names come from customers
    pools.set(pool, ask);
    return ask(want);
  };
}
