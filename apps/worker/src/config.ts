import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { type Place, PoolName } from "@comfyq/contract";
import type { CacheLimits } from "@comfyq/queue";
import {
  apiKeysByHost,
  cloudHosts,
  comfyUiAccess,
  MODEL_SETTINGS,
  readEnv,
  readSwitches,
  SHARED_SETTINGS,
  stripUrl,
} from "@comfyq/runtime";
import * as z from "zod";

/** What one worker process is told. Times in seconds, sizes in bytes. */
const WorkerEnv = z.object({
  ...SHARED_SETTINGS,
  ...MODEL_SETTINGS,
  COMFYUI_URL: z.url().default("http://127.0.0.1:8188").describe("The one ComfyUI this process drives"),
  COMFYUI_API_KEY: z.string().optional().describe("Key for COMFYUI_URL: of Comfy Cloud, another comfyq, or a proxy"),
  COMFYUI_API_KEYS: apiKeysByHost.describe(
    "Keys by host, for stopping prompts elsewhere, too: host=key, comma separated",
  ),
  COMFYUI_CLOUD_HOSTS: cloudHosts.describe("Hosts that speak as Comfy Cloud does, besides it: another comfyq's"),
  COMFYUI_OUTPUT_DIR: z
    .string()
    .min(1)
    .optional()
    .describe("Folder of this ComfyUI's outputs as it is mounted here; without it they are fetched by HTTP"),
  COMFYQ_POOL: PoolName.default("default").describe("Pool whose jobs this worker takes"),
  COMFYQ_OVERFLOW_AFTER_S: z.coerce
    .number()
    .min(0)
    .default(0)
    .describe("Takes only jobs that have waited so long for the pool's other workers; 0: any"),
  COMFYQ_WORKER_ID: z
    .string()
    .regex(/^[\w.-]{1,100}$/)
    .optional()
    .describe("Name of this worker; must be unique"),
  COMFYQ_AGEING_S: z.coerce
    .number()
    .min(1)
    .default(600)
    .describe(
      "Seconds of waiting after which a job gets its share whatever its priority: every 8th claim of each worker",
    ),
  COMFYQ_STALL_S: z.coerce
    .number()
    .min(0)
    .default(300)
    .describe("Silence after which a render counts as stuck, for nodes that nothing is known of; 0: never"),
  COMFYQ_STALL_FLOOR_S: z.coerce
    .number()
    .min(1)
    .default(120)
    .describe("Least silence after which a render counts as stuck, for nodes whose silences are known"),
  COMFYQ_MAX_INPUT_BYTES: z.coerce
    .number()
    .int()
    .positive()
    .default(1_073_741_824)
    .describe("Largest input file that is fetched"),
  COMFYQ_MAX_INPUT_PIXELS: z.coerce
    .number()
    .int()
    .positive()
    .default(67_108_864)
    .describe("Most pixels of an input image, all its frames together"),
  COMFYQ_SECRETS_FILE: z
    .string()
    .optional()
    .describe("Credentials for sources, by name; default: <data>/secrets/sources.json, when it is there"),
  COMFYQ_S3_INPUT_BUCKETS: z
    .string()
    .default("")
    .transform((text) => text.split(",").flatMap((bucket) => bucket.trim() || []))
    .describe("Buckets that any job may read s3:// inputs from with this process's own keys, comma separated"),
  COMFYQ_INPUT_TIMEOUT_S: z.coerce.number().positive().default(300).describe("Longest fetch of one input"),
  COMFYQ_SECRETS_KEY: z
    .string()
    .min(32)
    .optional()
    .describe("Opens the secrets of jobs; the same for API and workers; default: made once in <data>/secrets"),
  COMFYUI_MODELS_DIR: z
    .string()
    .optional()
    .describe("The models folder of this ComfyUI, to put the models of jobs into; without it such jobs go elsewhere"),
  COMFYQ_MAX_MODEL_BYTES: z.coerce
    .number()
    .int()
    .positive()
    .default(50_000_000_000)
    .describe("Largest model that is fetched"),
  COMFYQ_MODEL_TIMEOUT_S: z.coerce.number().positive().default(7_200).describe("Longest fetch of one model"),
  COMFYQ_MODELS_BUDGET_BYTES: z.coerce
    .number()
    .int()
    .positive()
    .optional()
    .describe("Most that fetched models may take together: the least recently used go first; without it none goes"),
  COMFYQ_STORING_MAX: z.coerce
    .number()
    .int()
    .min(1)
    .default(3)
    .describe("Rendered jobs that may wait for storage before the GPU idles"),
  COMFYQ_STORING_MAX_BYTES: z.coerce
    .number()
    .int()
    .positive()
    .default(10_737_418_240)
    .describe("Bytes of rendered jobs that may wait for storage before the GPU idles"),
  COMFYQ_STAGE_AHEAD_JOBS: z.coerce
    .number()
    .int()
    .min(0)
    .default(2)
    .describe(
      "Next waiting jobs whose inputs are brought to ComfyUI while another renders, and one more per neighbour; 0: none",
    ),
  COMFYQ_STAGE_AHEAD_BYTES: z.coerce
    .number()
    .int()
    .min(0)
    .default(1_073_741_824)
    .describe("Most bytes of inputs brought ahead of their jobs; 0: none"),
  COMFYQ_STORE_PATIENCE_S: z.coerce
    .number()
    .min(1)
    .default(600)
    .describe("How long a failing store is tried again before the job is"),
  COMFYQ_CACHE_TTL_S: z.coerce
    .number()
    .min(1)
    .default(604_800)
    .describe("How long a result is given to identical jobs"),
  COMFYQ_CACHE_MAX_ENTRIES: z.coerce
    .number()
    .int()
    .min(1)
    .default(100_000)
    .describe("Results that are kept for identical jobs; the least recently used make room"),
  COMFYQ_CACHE_MAX_BYTES: z.coerce
    .number()
    .int()
    .min(1)
    .default(1_073_741_824)
    .describe("Largest result that is kept for identical jobs, all its files together"),
  COMFYQ_CANCEL_S: z.coerce
    .number()
    .min(1)
    .default(30)
    .describe("How long a prompt may take to stop after an interrupt, before harder means are tried"),
  COMFYQ_INSTANCE_ID: z
    .string()
    .regex(/^[\w.:-]{1,200}$/)
    .optional()
    .describe("Name of the ComfyUI, where its address does not tell it from others; one worker drives it"),
  COMFYQ_QUARANTINE_AFTER: z.coerce
    .number()
    .int()
    .min(1)
    .default(3)
    .describe("Failures in a row that a ComfyUI is to blame for, after which it takes no jobs until a canary has run"),
  COMFYQ_CANARY_S: z.coerce.number().min(1).default(60).describe("How long the canary workflow may take"),
  COMFYQ_CANARY_WORKFLOW: z
    .string()
    .optional()
    .describe("File with a workflow (API format) that a healthy ComfyUI runs quickly; without it a small one"),
  COMFYUI_RESTART_COMMAND: z
    .string()
    .optional()
    .describe(
      "Shell command that restarts this ComfyUI: the last resort when a prompt does not stop, a canary fails or it stays away",
    ),
  COMFYQ_RESTART_S: z.coerce
    .number()
    .min(1)
    .default(120)
    .describe("How long a restart of ComfyUI may take until it answers again"),
  COMFYQ_DRAIN_S: z.coerce
    .number()
    .min(0)
    .default(60)
    .describe("How long a stop waits for the running job before giving it back"),
  COMFYQ_HEALTH_HOST: z.string().default("127.0.0.1").describe("Address of /livez, /readyz and /metrics"),
  COMFYQ_HEALTH_PORT: z.coerce.number().int().min(0).max(65_535).default(0).describe("Their port; 0 takes a free one"),
});

export type WorkerConfig = z.output<typeof WorkerEnv> & {
  readonly workerId: string;
  /** Name of this machine. */
  readonly machine: string;
  /** ComfyUI's address as it may be shown. */
  readonly instanceName: string;
  /** The same for every worker that drives this ComfyUI. */
  readonly instanceKey: string;
  /** It is many machines behind one address, which any number of workers may use. */
  readonly isCloud: boolean;
  /** All that the restart command sees of our environment: no secrets. */
  readonly restartEnv: Readonly<Record<string, string>>;
  /** How long waits are, against the real ones. 1 but in tests. */
  readonly timeScale: number;
  /** One job after the other, as simple handlers do. False but in benchmarks. */
  readonly isNaive: boolean;
};

/** Reads the environment and flags. @throws EnvError with every mistake */
export function readConfig(argv: readonly string[]): WorkerConfig {
  const given = readEnv(WorkerEnv, { argv });
  const instanceName = stripUrl(given.COMFYUI_URL).replace(/\/$/, "");
  const isCloud = comfyUiAccess(instanceName, given).dialect === "cloud";
  const env = { ...given, ...(isCloud && NOT_IN_THE_CLOUD), COMFYUI_API_KEYS: keysOf(given) };
  const address = createHash("sha256").update(instanceName).digest("hex").slice(0, 8);
  const { PATH = "", HOME = "" } = process.env;
  const { timeScale, isNaive } = readSwitches();
  return {
    ...env,
    workerId:
      env.COMFYQ_WORKER_ID ??
      `${hostname()
        .replaceAll(/[^\w.-]/g, "-")
        .slice(0, 80)}-${address}`,
    machine: hostname(),
    instanceName,
    instanceKey: env.COMFYQ_INSTANCE_ID ?? instanceKeyOf(instanceName),
    isCloud,
    restartEnv: { PATH, HOME, COMFYUI_URL: instanceName },
    timeScale,
    isNaive,
  };
}

/** Its folders are not mounted here, and nobody here can restart it. */
const NOT_IN_THE_CLOUD = {
  COMFYUI_OUTPUT_DIR: undefined,
  COMFYUI_MODELS_DIR: undefined,
  COMFYUI_RESTART_COMMAND: undefined,
} as const;

/** The keys of all hosts, with the one that belongs to our own ComfyUI. */
function keysOf({ COMFYUI_URL, COMFYUI_API_KEY, COMFYUI_API_KEYS }: z.output<typeof WorkerEnv>) {
  const { host } = new URL(COMFYUI_URL);
  if (COMFYUI_API_KEY === undefined || COMFYUI_API_KEYS.has(host)) return COMFYUI_API_KEYS;
  return new Map([...COMFYUI_API_KEYS, [host, COMFYUI_API_KEY]]);
}

/** Where the credentials for sources stand. */
export function credentialsPath(config: Pick<WorkerConfig, "COMFYQ_SECRETS_FILE" | "COMFYQ_DATA_DIR">): string {
  return resolve(config.COMFYQ_SECRETS_FILE ?? join(config.COMFYQ_DATA_DIR, "secrets", "sources.json"));
}

/** What this worker keeps of results, for identical jobs. */
export function cacheLimitsOf(config: WorkerConfig): CacheLimits {
  return {
    ttlMs: config.COMFYQ_CACHE_TTL_S * 1_000,
    maxEntries: config.COMFYQ_CACHE_MAX_ENTRIES,
    maxBytes: config.COMFYQ_CACHE_MAX_BYTES,
  };
}

/** Where this worker's attempts run. */
export function hereOf({ instanceName, instanceKey }: Pick<WorkerConfig, "instanceName" | "instanceKey">): Place {
  return { instance: instanceName, instance_id: instanceKey };
}

/** Names that mean "this machine", and so another ComfyUI on every machine. */
const THIS_MACHINE = /^(localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|host\.docker\.internal)$/;

/**
 * What tells one ComfyUI from another: its address in one spelling, and for an address that means another machine
 * everywhere, the name of this machine.
 */
export function instanceKeyOf(url: string, machine: string = hostname()): string {
  const { protocol, hostname: host, port, pathname } = new URL(url);
  const realPort = port || (protocol === "https:" ? "443" : "80");
  return `${THIS_MACHINE.test(host) ? machine : host}:${realPort}${pathname.replace(/\/+$/, "")}`;
}
