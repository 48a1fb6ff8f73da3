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

/** Starts everything and waits until it is ready. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const dir = await mkdtemp(join(tmpdir(), "comfyq-chaos-"));
  const spoolDir = join(dir, "spool");
  await mkdir(spoolDir);
  const history = openHistory(join(dir, "history.jsonl"));
  const master = newSecret("whm");
  const [redis, s3, receiver, keys] = await Promise.all([
    startPrivateRedis(),
    startFakeS3({ buckets: [BUCKET], ...S3_LOGIN }),
    startReceiver(history, master),
    writeKeys(dir),
  ]);
  const env = {
    ...sharedEnv({ dir, spoolDir, history, breaks: options.breaks ?? "", s3Url: s3.url }),
    COMFYQ_WEBHOOK_SECRET: master,
  };
  const start = (who: Pick<ActorOptions, "name" | "kind" | "env" | "args">) =>
    startActor({ ...who, history, onTrouble: options.onTrouble });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const apiToRedis = await startTcpProxy(redis.url);
  const api = start({
    name: "api",
    kind: "api",
    env: { ...env, REDIS_URL: apiToRedis.url, COMFYQ_PORT: String(port) },
  });
  const dispatcher = start({
    name: "dispatcher",
    kind: "dispatcher",
    env: { ...env, REDIS_URL: redis.url, COMFYQ_PUBLIC_URL: url },
  });
  const at = Array.from({ length: options.workers }, (_, index) => index);
  const stations = await Promise.all(
    at.map((index) => startStation({ index, env, dir, redisUrl: redis.url, history }, start)),
  );
  const actors = [api, dispatcher, ...stations.flatMap(({ worker, simulator }) => [worker, simulator])];
  const lines = [apiToRedis, ...stations.flatMap(({ toRedis, toComfyUi }) => [toRedis, toComfyUi])];
  const store = openStorage(`s3://${BUCKET}`, { endpoint: s3.url, region: "us-east-1", credentials: S3_LOGIN });
  await Promise.all(actors.map((actor) => actor.whenUp()));
  return {
    url, api, apiToRedis, dispatcher, stations, redis, s3, store, receiver, history, dir, spoolDir, keys, actors,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(actors.map((actor) => actor.close()));
      await Promise.all([receiver.close(), store.close(), s3.close(), ...lines.map((line) => line.close())]);
      await redis.close();
    },
  }; // biome-ignore format: a list of parts
}

interface StationPlan {
  readonly index: number;
  readonly env: Readonly<Record<string, string>>;
  readonly dir: string;
  readonly redisUrl: string;
  readonly history: HistoryFile;
}

type Start = (who: Pick<ActorOptions, "name" | "kind" | "env" | "args">) => Actor;

async function startStation({ index, env, dir, redisUrl, history }: StationPlan, start: Start): Promise<Station> {
  const port = await freePort();
  const simulatorUrl = `http://127.0.0.1:${port}`;
  const [toRedis, toComfyUi] = await Promise.all([startTcpProxy(redisUrl), startTcpProxy(simulatorUrl)]);
  const flags = ["--port", String(port), "--dir", join(dir, `comfyui-${index}`), "--history", history.path];
  const simulator = start({ name: `simulator:${port}`, kind: "simulator", env: {}, args: flags });
  await simulator.whenUp(); // a worker that meets nobody looks again only after a second
  const own = { REDIS_URL: toRedis.url, COMFYUI_URL: toComfyUi.url, COMFYQ_WORKER_ID: `worker-${index}` };
  const worker = start({ name: `worker-${index}`, kind: "worker", env: { ...env, ...WORKER_ENV, ...own } });
  return { worker, simulator, simulatorUrl, toRedis, toComfyUi };
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
