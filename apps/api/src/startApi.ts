import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { openProducer } from "@comfyq/queue";
import {
  createHealth,
  createMetrics,
  type Logger,
  readOrCreateSecret,
  retentionMs,
  secretPath,
  storageUrl,
} from "@comfyq/runtime";
import { openStorage, type Storage } from "@comfyq/storage";
import { createApp } from "./app.ts";
import { type KeyRing, openKeyRing } from "./auth/keyRing.ts";
import { isLoopbackHost } from "./auth/loopback.ts";
import { cachedFor } from "./cachedFor.ts";
import { type ApiSettings, keysFilePath } from "./config.ts";
import type { Rooms } from "./rooms.ts";
import { LINK_BASE } from "./routes/serveLink.ts";

/** A new instance's node classes are known within this time; an unknown class is looked up again before it is refused. */
const CLASSES_MS = 2_000;
/** A bucket is asked this often by probes, however many of them there are. */
const STORAGE_READY_MS = 5_000;
/** Long enough for a large upload over a slow line. */
const REQUEST_TIMEOUT_MS = 3_600_000;
/** Longer than the proxies in front keep a connection, or they would use one that is just being closed. */
const KEEP_ALIVE_MS = 65_000;

/** An API that listens. */
export interface RunningApi {
  /** Address it listens on, without a slash at the end. */
  readonly url: string;
  /** Ends streams and waits, lets requests under way finish, then closes everything. */
  close(signal?: AbortSignal): Promise<void>;
}

/**
 * Starts the API in this process.
 * @throws Error when it would be open to others without a key, the port is taken, or the keys file is broken; QueueError
 * when Redis is away or can lose jobs
 */
export async function startApi(settings: ApiSettings, logger: Logger): Promise<RunningApi> {
  const closing = new AbortController();
  const rooms = await openRooms(settings, logger, closing.signal);
  const closeRooms = async () => {
    await rooms.producer.close();
    await rooms.storage.close();
  };
  try {
    const timeouts = { requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS };
    const server = createServer(timeouts, await createApp(rooms));
    const url = await listen(server, settings);
    return {
      url,
      close: async (signal) => {
        closing.abort();
        await closeServer(server, signal);
        await closeRooms();
      },
    };
  } catch (error) {
    await closeRooms();
    throw error;
  }
}

async function openRooms(settings: ApiSettings, logger: Logger, closing: AbortSignal): Promise<Rooms> {
  const keys = await openKeys(settings, logger);
  const linkSecret = settings.COMFYQ_LINK_SECRET ?? (await readOrCreateSecret(secretPath(settings, "link-secret")));
  const webhookMaster =
    settings.COMFYQ_WEBHOOK_SECRET ?? (await readOrCreateSecret(secretPath(settings, "webhook-secret")));
  const storage = openStore(settings, linkSecret);
  const producer = await openProducer({
    redisUrl: settings.REDIS_URL,
    prefix: settings.COMFYQ_PREFIX,
    retentionMs: retentionMs(settings),
    allowUnsafeRedis: settings.COMFYQ_ALLOW_UNSAFE_REDIS,
  });
  const health = healthOf(producer, storage);
  const metrics = createMetrics({ defaults: true });
  const classes = rememberClasses(producer);
  return { settings, logger, producer, storage, keys, health, metrics, linkSecret, webhookMaster, classes, closing };
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

function openStore(settings: ApiSettings, linkSecret: string): Storage {
  return openStorage(storageUrl(settings), {
    region: settings.AWS_REGION,
    endpoint: settings.S3_ENDPOINT,
    // Unset means: whatever suits the endpoint.
    forcePathStyle: settings.S3_FORCE_PATH_STYLE || undefined,
    linkBase: LINK_BASE,
    linkSecret,
  });
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

async function listen(server: Server, { COMFYQ_HOST: host, COMFYQ_PORT: port }: ApiSettings): Promise<string> {
  server.listen(port, host.replace(/^\[(.*)\]$/, "$1"));
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new Error(`Cannot listen on ${host}:${port}; is another process using it? COMFYQ_PORT names another one`, {
      cause,
    });
  }
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a host and a port");
  const shown = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `http://${shown}:${address.port}`;
}

async function closeServer(server: Server, signal: AbortSignal | undefined): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  const cut = () => server.closeAllConnections();
  signal?.addEventListener("abort", cut, { once: true });
  if (signal?.aborted) cut();
  await closed;
  signal?.removeEventListener("abort", cut);
}
