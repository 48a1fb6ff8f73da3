import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeysFile } from "@comfyq/contract";
import { type FakeS3, startFakeS3 } from "@comfyq/fake-s3";
import { type PrivateRedis, startPrivateRedis } from "@comfyq/queue/testing";
import { newSecret, sha256Hex } from "@comfyq/runtime";
import { openStorage, type Storage } from "@comfyq/storage";
import { startTcpProxy, type TcpProxy } from "../test/tcpProxy.ts";
import { type Actor, type ActorOptions, startActor } from "./actor.ts";
import { type HistoryFile, openHistory } from "./historyFile.ts";
import { type Receiver, startReceiver } from "./receiver.ts";

const TENANTS = ["alpha", "beta"] as const;
export type Tenant = (typeof TENANTS)[number];

/** One ComfyUI, its worker, and the lines the worker has to it and to Redis. */
export interface Station {
  readonly worker: Actor;
  readonly simulator: Actor;
  /** Past the line that can be broken; for the nemesis itself. */
  readonly simulatorUrl: string;
  /** It speaks as Comfy Cloud, for who has this key. */
  readonly cloudKey: string | undefined;
  readonly toRedis: TcpProxy;
  readonly toComfyUi: TcpProxy;
}

/** The product as real processes, each with a line to Redis of its own, on a private Redis and a fake S3. */
export interface Fleet extends AsyncDisposable {
  readonly url: string;
  readonly api: Actor;
  readonly apiToRedis: TcpProxy;
  readonly dispatcher: Actor;
  readonly stations: readonly Station[];
  readonly redis: PrivateRedis;
  readonly s3: FakeS3;
  /** The results, past every fault that strikes by key: for the snapshot. */
  readonly store: Storage;
  readonly receiver: Receiver;
  readonly history: HistoryFile;
  readonly dir: string;
  /** Folder for the temporary files of all processes. */
  readonly spoolDir: string;
  readonly keys: Readonly<Record<Tenant, string>>;
  /** Every process, simulators included. */
  readonly actors: readonly Actor[];
}

export interface FleetOptions {
  readonly workers: number;
  /** So many of them, the last ones, drive a cloud. Default 0. */
  readonly clouds?: number;
  /** COMFYQ_BREAKS: parts that are broken on purpose. */
  readonly breaks?: string;
  /** Told of processes that ended by themselves. */
  readonly onTrouble: (what: string) => void;
}

const BUCKET = "results";
const S3_LOGIN = { accessKeyId: "key", secretAccessKey: "secret" };

/** What a worker waits for is short here, so that a round takes seconds. */
const WORKER_ENV = {
  COMFYQ_DRAIN_S: "2",
  COMFYQ_CANCEL_S: "4",
  COMFYQ_STALL_S: "6",
  COMFYQ_STALL_FLOOR_S: "4",
  COMFYQ_CANARY_S: "6",
};

/** Ends what was started, the last thing first. Safe to repeat. */
type Closers = (() => Promise<unknown>)[];

async function closeAll(closers: Closers): Promise<void> {
  for (let close = closers.pop(); close; close = closers.pop()) await close();
}

/** What every fleet that is not closed has started. */
const open = new Set<Closers>();

/** Ends whatever was started and not closed, a fleet that was still starting included. */
export async function closeFleets(): Promise<void> {
  await Promise.all([...open].map(closeAll));
}

/** Starts everything and waits until it is ready. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const dir = await mkdtemp(join(tmpdir(), "comfyq-chaos-"));
  const closers: Closers = [];
  open.add(closers);
  const ground = await layGround(dir, options.breaks ?? "", closers);
  const { redis, history, env } = ground;
  const start: Start = (who) => {
    const actor = startActor({ ...who, history, onTrouble: options.onTrouble });
    closers.push(() => actor.close());
    return actor;
  };
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const apiToRedis = await lay(redis.url, closers);
  const apiEnv = { ...env, REDIS_URL: apiToRedis.url, COMFYQ_PORT: String(port) };
  const api = start({ name: "api", kind: "api", env: apiEnv });
  const dispatcherEnv = { ...env, REDIS_URL: redis.url, COMFYQ_PUBLIC_URL: url };
  const dispatcher = start({ name: "dispatcher", kind: "dispatcher", env: dispatcherEnv });
  const at = Array.from({ length: options.workers }, (_, index) => index);
  const firstCloud = options.workers - (options.clouds ?? 0);
  const keyOf = (index: number) => (index < firstCloud ? undefined : newSecret("cloud"));
  const stations = await Promise.all(
    at.map((index) => startStation({ index, cloudKey: keyOf(index), ...ground, closers, start })),
  );
  const actors = [api, dispatcher, ...stations.flatMap(({ worker, simulator }) => [worker, simulator])];
  await Promise.all(actors.map((actor) => actor.whenUp()));
  const close = async () => {
    await closeAll(closers);
    open.delete(closers);
  };
  return { ...ground, url, api, apiToRedis, dispatcher, stations, actors, [Symbol.asyncDispose]: close };
}

type Ground = Pick<Fleet, "dir" | "spoolDir" | "history" | "redis" | "s3" | "store" | "receiver" | "keys"> & {
  /** What all processes of the product are told. */
  readonly env: Readonly<Record<string, string>>;
};

/** What the processes stand on: folders, Redis, the store, the customers' receiver, keys. */
async function layGround(dir: string, breaks: string, closers: Closers): Promise<Ground> {
  const spoolDir = join(dir, "spool");
  await mkdir(spoolDir);
  const history = openHistory(join(dir, "history.jsonl"));
  const master = newSecret("whm");
  const redis = await startPrivateRedis();
  closers.push(() => redis.close());
  const s3 = await startFakeS3({ buckets: [BUCKET], ...S3_LOGIN });
  closers.push(() => s3.close());
  const receiver = await startReceiver(history, master);
  closers.push(() => receiver.close());
  const store = openStorage(`s3://${BUCKET}`, { endpoint: s3.url, region: "us-east-1", credentials: S3_LOGIN });
  closers.push(() => store.close());
  const keys = await writeKeys(dir);
  const env = { ...sharedEnv({ dir, spoolDir, history, breaks, s3Url: s3.url }), COMFYQ_WEBHOOK_SECRET: master };
  return { dir, spoolDir, history, redis, s3, store, receiver, keys, env };
}

async function lay(target: string, closers: Closers): Promise<TcpProxy> {
  const line = await startTcpProxy(target);
  closers.push(() => line.close());
  return line;
}

type Start = (who: Pick<ActorOptions, "name" | "kind" | "env" | "args">) => Actor;

interface StationPlan extends Ground {
  readonly index: number;
  readonly cloudKey: string | undefined;
  readonly closers: Closers;
  readonly start: Start;
}

async function startStation(plan: StationPlan): Promise<Station> {
  const { index, cloudKey, env, dir, redis, history, closers, start } = plan;
  const port = await freePort();
  const simulatorUrl = `http://127.0.0.1:${port}`;
  const [toRedis, toComfyUi] = await Promise.all([lay(redis.url, closers), lay(simulatorUrl, closers)]);
  const places = ["--port", String(port), "--dir", join(dir, `comfyui-${index}`), "--history", history.path];
  const flags = [...places, ...(cloudKey === undefined ? [] : ["--cloud-key", cloudKey])];
  const simulator = start({ name: `simulator:${port}`, kind: "simulator", env: {}, args: flags });
  await simulator.whenUp(); // a worker that meets nobody looks again only after a second
  const own = { REDIS_URL: toRedis.url, COMFYUI_URL: toComfyUi.url, COMFYQ_WORKER_ID: `worker-${index}` };
  const { host } = new URL(toComfyUi.url);
  const asCloud = cloudKey === undefined ? {} : { COMFYUI_API_KEY: cloudKey, COMFYUI_CLOUD_HOSTS: host };
  const worker = start({ name: `worker-${index}`, kind: "worker", env: { ...env, ...WORKER_ENV, ...own, ...asCloud } });
  return { worker, simulator, simulatorUrl, cloudKey, toRedis, toComfyUi };
}

interface Places {
  readonly dir: string;
  readonly spoolDir: string;
  readonly history: HistoryFile;
  readonly breaks: string;
  readonly s3Url: string;
}

function sharedEnv({ dir, spoolDir, history, breaks, s3Url }: Places): Record<string, string> {
  return {
    COMFYQ_DATA_DIR: dir,
    TMPDIR: spoolDir,
    COMFYQ_ALLOW_HOSTS: "127.0.0.1:*",
    COMFYQ_FAIL_POINTS: "1",
    COMFYQ_TIME_SCALE: "0.2",
    COMFYQ_HISTORY_FILE: history.path,
    COMFYQ_BREAKS: breaks,
    S3_BUCKET: BUCKET,
    S3_ENDPOINT: s3Url,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: S3_LOGIN.accessKeyId,
    AWS_SECRET_ACCESS_KEY: S3_LOGIN.secretAccessKey,
  };
}

/** A key for each tenant that may do everything of theirs. */
async function writeKeys(dir: string): Promise<Record<Tenant, string>> {
  const keys = { alpha: newSecret("cq"), beta: newSecret("cq") };
  const file: KeysFile = {
    v: 1,
    keys: TENANTS.map((tenant) => ({
      name: tenant,
      sha256: sha256Hex(keys[tenant]),
      tenant,
      scopes: ["submit", "read", "cancel"],
      created_at: new Date(0).toISOString(),
      expires_at: null,
    })),
  };
  await writeFile(join(dir, "keys.json"), JSON.stringify(file));
  return keys;
}

/** A port that is free now: processes that are started again must come back to the same one. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}

/** Removes what a run has left on disk, its history too. */
export function removeTraces(fleet: Fleet): Promise<void> {
  return rm(fleet.dir, { recursive: true, force: true });
}
