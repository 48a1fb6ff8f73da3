import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import {
  type ApiErrorBody,
  Job,
  Manifest,
  manifestKey,
  type NewJobBody,
  type Scope,
  type StoredFile,
  type StoredValue,
  WorkerBeat,
} from "@comfyq/contract";
import { type Claimer, type HeldJob, openClaimer } from "@comfyq/queue";
import { type PrivateRedis, startPrivateRedis } from "@comfyq/queue/testing";
import { createLogger, newSecret, readEnv, sha256Hex } from "@comfyq/runtime";
import { contentTypeOf, openStorage } from "@comfyq/storage";
import { ApiEnv } from "../src/config.ts";
import { startApi } from "../src/startApi.ts";

/** A small graph: an image, saved. */
export const GRAPH = {
  "3": { class_type: "EmptyImage", inputs: { width: 64, height: 64, batch_size: 1, color: 0 } },
  "9": { class_type: "SaveImage", inputs: { images: ["3", 0], filename_prefix: "hello" } },
};

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; asserted by the tests, not by a type. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly json: any;
}

export interface TestApi extends AsyncDisposable {
  readonly url: string;
  readonly dataDir: string;
  readonly redis: PrivateRedis;
  /** Everything logged so far, at level trace. */
  log(): string;
  call(path: string, init?: RequestInit): Promise<Answer>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Submits a job that must be taken. */
  submit(body?: Partial<NewJobBody>, headers?: Record<string, string>): Promise<Job>;
  read(id: string, headers?: Record<string, string>): Promise<Job>;
  /** Claims the next job, as a worker would. */
  claim(pool?: string): Promise<HeldJob>;
  /** Stores files, seals and ends a held job, as a worker would. */
  succeed(
    held: HeldJob,
    files?: Readonly<Record<string, string | Buffer>>,
    values?: readonly (StoredValue | StoredFile)[],
  ): Promise<void>;
  /** Stops the API and starts it again on the same data. */
  restart(env?: Record<string, string>): Promise<void>;
}

export interface KeyWish {
  readonly tenant: string;
  readonly scopes: readonly Scope[];
  readonly expiresAt?: string;
}

/** Makes keys, and writes their file. @returns the keys' texts, in order */
export async function writeKeys(path: string, wishes: readonly KeyWish[]): Promise<string[]> {
  const made = wishes.map((wish) => ({ ...wish, text: newSecret("cq_live") }));
  const keys = made.map(({ text, tenant, scopes, expiresAt }, at) => ({
    name: `key ${at}`,
    sha256: sha256Hex(text),
    tenant,
    scopes,
    created_at: "2026-01-01T00:00:00Z",
    expires_at: expiresAt ?? null,
  }));
  await writeFile(path, JSON.stringify({ v: 1, keys }));
  return made.map(({ text }) => text);
}

export function bearer(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}` };
}

interface SetupOptions {
  readonly env?: Record<string, string>;
  readonly redis?: PrivateRedis;
  /** An existing data folder, with keys in it for instance; it is left alone at the end. */
  readonly dataDir?: string;
}

/** An API over real HTTP, with a Redis and a data folder of its own. */
export async function setup(options: SetupOptions = {}): Promise<TestApi> {
  const redis = options.redis ?? (await startPrivateRedis());
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "comfyq-api-")));
  const prefix = options.env?.["COMFYQ_PREFIX"] ?? `t${randomUUID().slice(0, 8)}`;
  const lines: string[] = [];
  const logger = createLogger({ name: "api", level: "trace", destination: collect(lines) });
  const start = (more: Record<string, string> = {}) => {
    const env = { REDIS_URL: redis.url, COMFYQ_PREFIX: prefix, COMFYQ_DATA_DIR: dataDir, COMFYQ_PORT: "0" };
    return startApi(readEnv(ApiEnv, { env: { ...env, ...options.env, ...more } }), logger);
  };
  let api = await start();
  const claimers = new Map<string, Claimer>();
  const store = openStorage(join(dataDir, "files"));
  const call = async (path: string, init?: RequestInit): Promise<Answer> => {
    const answer = await fetch(path.startsWith("http") ? path : api.url + path, { redirect: "manual", ...init });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, text, json: parsed(text) };
  };
  const post: TestApi["post"] = (path, body, headers = {}) =>
    call(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  const read: TestApi["read"] = async (id, headers = {}) => {
    const answer = await call(`/v1/jobs/${id}`, { headers });
    if (answer.status !== 200) throw new Error(`reading ${id} answered ${answer.status}: ${answer.text}`);
    return Job.parse(answer.json);
  };
  return {
    get url() {
      return api.url;
    },
    dataDir,
    redis,
    log: () => lines.join(""),
    call,
    post,
    read,
    submit: async (body = {}, headers = {}) => {
      const answer = await post("/v1/jobs", { workflow: GRAPH, ...body }, headers);
      if (answer.status !== 201) throw new Error(`submitting answered ${answer.status}: ${answer.text}`);
      return Job.parse(answer.json);
    },
    claim: async (pool = "default") => {
      const known = claimers.get(pool);
      const claimer =
        known ?? (await openClaimer({ redisUrl: redis.url, prefix, pool, workerId: `w-${pool}`, instance: "i" }));
      claimers.set(pool, claimer);
      for (;;) {
        const held = await claimer.claim();
        if (held) return held;
      }
    },
    succeed: async (held, files = {}, values = []) => {
      const stored: StoredFile[] = [];
      for (const [name, content] of Object.entries(files)) {
        const key = `jobs/${held.id}/${held.epoch}/${name}`;
        const contentType = contentTypeOf(name);
        const { sizeBytes, sha256 } = await store.put(key, content, { contentType });
        stored.push({
          node_id: "9",
          name,
          type: "image",
          content_type: contentType,
          size_bytes: sizeBytes,
          sha256,
          key,
        });
      }
      const manifest = manifestOf(held, [...stored, ...values]);
      await store.putIfAbsent(manifestKey(held.id), JSON.stringify(manifest), { contentType: "application/json" });
      if (!(await held.end({ kind: "succeeded", manifest }))) throw new Error("the lock was lost");
    },
    restart: async (more) => {
      await api.close();
      api = await start(more);
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...claimers.values()].map((claimer) => claimer.close()));
      await api.close(AbortSignal.abort());
      if (!options.redis) await redis.close();
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

function manifestOf(held: HeldJob, outputs: Manifest["outputs"]): Manifest {
  return Manifest.parse({
    v: 1,
    job_id: held.id,
    epoch: held.epoch,
    prompt_id: randomUUID(),
    instance: "http://127.0.0.1:8188",
    sealed_at: new Date().toISOString(),
    cached: false,
    metrics: { prepare_ms: 1, render_ms: 2, store_ms: 3 },
    outputs,
  });
}

function collect(lines: string[]): Writable {
  return new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk));
      done();
    },
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What an error answer says, without its details. */
export function problem(answer: Answer): { status: number; code: string; message: string } {
  const { error } = answer.json as ApiErrorBody; // an error answer has this shape, or the test fails
  return { status: answer.status, code: error.code, message: error.message };
}

/** What a worker tells of itself, in whatever a test needs. */
export function workerBeat(more: Partial<WorkerBeat> = {}): WorkerBeat {
  const now = new Date().toISOString();
  return WorkerBeat.parse({
    id: "w1",
    pool: "default",
    instance: "http://127.0.0.1:8188",
    state: "idle",
    reason: null,
    job_id: null,
    storing: 0,
    comfyui_version: "0.33.0",
    fingerprint: null,
    device: "NVIDIA H100",
    started_at: now,
    beat_at: now,
    ...more,
  });
}
