import { isAbsolute } from "node:path";
import { PoolName } from "@comfyq/contract";
import {
  apiKeysByHost,
  cloudHosts,
  describeEnv,
  type EnvEntry,
  MODEL_SETTINGS,
  readEnv,
  SHARED_SETTINGS,
} from "@comfyq/runtime";
import * as z from "zod";
import { CliEnv } from "../config.ts";
import { areAddressesRead, hostOfLoneKey, repeatedAddresses } from "./comfyUis.ts";

const seconds = z.coerce.number().positive();
const bytes = z.coerce.number().int().min(1_024);
const count = z.coerce.number().int().min(1);
const whole = z.coerce.number().int().min(0);
const atLeast = (lowest: number) => z.coerce.number().min(lowest);
const secret = z.string().min(32).optional();
const port = z.coerce.number().int().min(0).max(65_535);
const {
  REDIS_URL: _ours,
  COMFYQ_DATA_DIR,
  COMFYQ_PREFIX,
  COMFYQ_LOG_LEVEL,
  COMFYQ_PRINT_READY,
  ...files
} = SHARED_SETTINGS;
const { COMFYQ_RETENTION_DAYS, COMFYQ_ALLOW_HOSTS, COMFYQ_ALLOW_UNSAFE_REDIS, ...bucket } = files;

/** Every setting of the whole system, in the groups that `--help` and the README show. */
const GROUPS = {
  "Where it listens and keeps things": {
    COMFYQ_HOST: z
      .string()
      .default("127.0.0.1")
      .describe("Address the API listens on; anything but loopback needs an API key"),
    COMFYQ_PORT: port.default(8190).describe("Port the API listens on; 0 picks a free one"),
    COMFYQ_PUBLIC_URL: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe("The API's address as others see it, for links; without it the address it was asked at"),
    COMFYQ_DATA_DIR,
    COMFYQ_RETENTION_DAYS,
    COMFYQ_LOG_LEVEL,
  },
  ComfyUI: {
    COMFYUI_URLS: z
      .string()
      .optional()
      .transform((text) => text?.split(",").flatMap((url) => url.trim() || []))
      .pipe(
        z
          .array(z.url({ protocol: /^https?$/ }))
          .min(1)
          .optional(),
      )
      .describe("ComfyUI servers and clouds, comma separated, one worker each; without it the bundled simulator"),
    COMFYUI_API_KEY: z.string().optional().describe("Key of the only cloud among them, or of the only one there is"),
    COMFYUI_API_KEYS: apiKeysByHost.describe("Keys of several, by host and port: cloud.comfy.org=…,10.0.0.5:8190=…"),
    COMFYUI_CLOUD_HOSTS: cloudHosts.describe("Hosts that speak as Comfy Cloud does, besides it: another comfyq's"),
    COMFYQ_OVERFLOW_AFTER_S: atLeast(0)
      .default(0)
      .describe("Seconds a job waits for the others before a cloud takes it; 0: clouds take jobs like all"),
    COMFYUI_OUTPUT_DIR: z
      .string()
      .optional()
      .describe("Folder the ComfyUI servers save in, mounted here; without it outputs are fetched by HTTP"),
    COMFYQ_SIMULATORS: count.max(64).default(1).describe("How many simulators run when COMFYUI_URLS is not set"),
    COMFYQ_POOL: PoolName.default("default").describe("Pool the workers take jobs of"),
    COMFYQ_LIMITS_FILE: z
      .string()
      .optional()
      .describe("What each tenant may use; default limits.json in the data folder"),
    COMFYQ_QUEUE_CAP: count
      .default(100_000)
      .describe("Jobs that may wait in one pool before new ones are refused with 503"),
    COMFYQ_AGEING_S: atLeast(1)
      .default(600)
      .describe(
        "Seconds of waiting after which a job gets its share whatever its priority: every 8th claim of a worker",
      ),
    COMFYQ_STALL_S: atLeast(0)
      .default(300)
      .describe("Seconds of silence after which a render counts as stuck, for nodes nothing is known of; 0: never"),
    COMFYQ_STALL_FLOOR_S: atLeast(1)
      .default(120)
      .describe("Least seconds of silence after which it counts as stuck, for nodes whose silences are known"),
    COMFYQ_CANCEL_S: atLeast(1)
      .default(30)
      .describe("Seconds a render may take to stop after an interrupt, before harder means are tried"),
    COMFYUI_RESTART_COMMAND: z
      .string()
      .optional()
      .describe("Shell command, the last resort: restarts the ComfyUI whose address it finds in COMFYUI_URL"),
    COMFYQ_RESTART_S: atLeast(1).default(120).describe("Seconds a restarted ComfyUI may take until it answers"),
    COMFYQ_QUARANTINE_AFTER: count
      .default(3)
      .describe("Failures in a row by its own fault after which a ComfyUI takes no jobs until a canary has run"),
    COMFYQ_CANARY_S: atLeast(1).default(60).describe("Seconds the canary workflow may take"),
    COMFYQ_CANARY_WORKFLOW: z
      .string()
      .optional()
      .describe("File with that workflow (API format); without it a small one that needs no model"),
    COMFYQ_DRAIN_S: atLeast(0)
      .default(3)
      .describe("Seconds a stopping worker lets its render go on before giving the job back (60 for a worker alone)"),
    COMFYQ_MAX_INPUT_BYTES: bytes.default(1_073_741_824).describe("Largest input file that is fetched"),
    COMFYQ_MAX_INPUT_PIXELS: count
      .default(67_108_864)
      .describe("Most pixels of an input image, all its frames together"),
    COMFYQ_SECRETS_FILE: z
      .string()
      .optional()
      .describe("Credentials for sources, by name; without it secrets/sources.json in the data folder, if it is there"),
    COMFYQ_S3_INPUT_BUCKETS: z
      .string()
      .default("")
      .describe("Buckets that any job may read s3:// inputs from with the workers' own keys, comma separated"),
    COMFYQ_INPUT_TIMEOUT_S: seconds.default(300).describe("Seconds that fetching one input may take"),
    COMFYUI_MODELS_DIR: z
      .string()
      .optional()
      .describe("The models folder that every one of these ComfyUIs reads, to put the models of jobs into"),
    COMFYQ_MAX_MODEL_BYTES: bytes.default(50_000_000_000).describe("Largest model that is fetched"),
    COMFYQ_MODEL_TIMEOUT_S: seconds.default(7_200).describe("Seconds that fetching one model may take"),
    COMFYQ_MODELS_BUDGET_BYTES: bytes
      .optional()
      .describe("Most that fetched models may take: the least recently used go first; without it none goes"),
    ...MODEL_SETTINGS,
    COMFYQ_STORING_MAX: count.default(3).describe("Rendered jobs that may wait for storage before the GPU idles"),
    COMFYQ_STORING_MAX_BYTES: bytes
      .default(10_737_418_240)
      .describe("Bytes of rendered jobs that may wait for storage before the GPU idles"),
    COMFYQ_STAGE_AHEAD_JOBS: whole
      .default(2)
      .describe("Next jobs whose inputs are brought to ComfyUI meanwhile, and one more per neighbour; 0: none"),
    COMFYQ_STAGE_AHEAD_BYTES: whole
      .default(1_073_741_824)
      .describe("Most bytes of inputs brought ahead of their jobs; 0: none"),
    COMFYQ_STORE_PATIENCE_S: atLeast(1)
      .default(600)
      .describe("Seconds a failing store is tried again before the job is"),
  },
  "Result cache": {
    COMFYQ_CACHE: z
      .enum(["off", "use"])
      .default("off")
      .describe("What a job that says nothing of `cache` does; use: an identical job's result is given at once"),
    COMFYQ_CACHE_TTL_S: atLeast(1)
      .default(604_800)
      .describe("Seconds a result is given to identical jobs; never longer than its own job is kept"),
    COMFYQ_CACHE_MAX_ENTRIES: count
      .default(100_000)
      .describe("Results kept for identical jobs; the least recently used make room"),
    COMFYQ_CACHE_MAX_BYTES: count
      .default(1_073_741_824)
      .describe("Largest result kept for identical jobs, all its files together"),
  },
  Redis: {
    REDIS_URL: z
      .string()
      .refine((url) => isAbsolute(url) || /^rediss?:\/\/./.test(url), "redis://…, rediss://… or the path of a socket")
      .optional()
      .describe("Redis: redis://, rediss:// or the path of a unix socket; without it a private one in the data folder"),
    COMFYQ_PREFIX,
    COMFYQ_ALLOW_UNSAFE_REDIS,
  },
  "Files in S3": {
    ...bucket,
    AWS_ACCESS_KEY_ID: z.string().optional().describe("Key id for S3; or any other usual AWS way"),
    AWS_SECRET_ACCESS_KEY: z.string().optional().describe("Secret key for S3"),
    AWS_SESSION_TOKEN: z.string().optional().describe("Session token for S3, with temporary credentials"),
  },
  "Who may do what": {
    COMFYQ_KEYS_FILE: z
      .string()
      .optional()
      .describe("API keys, edited by `comfyq keys`; without it keys.json in the data folder; no keys: no login"),
    COMFYQ_OPERATOR_KEY: z
      .string()
      .min(16)
      .optional()
      .describe("Opens Bull Board for changes, and at all when not on loopback"),
    COMFYQ_ALLOW_HOSTS,
    COMFYQ_WEBHOOK_SECRET: secret.describe(
      "Master secret that webhooks are signed with; without it one is made in the data folder",
    ),
    COMFYQ_SECRETS_KEY: secret.describe(
      "Encrypts the secrets of jobs and webhooks; without it one is made in the data folder",
    ),
    COMFYQ_LINK_SECRET: secret.describe("Secret that signs links to files; without it one is made in the data folder"),
    COMFYQ_WEBHOOK_TIMEOUT_S: atLeast(1)
      .max(60)
      .default(15)
      .describe("Seconds a webhook's receiver may take to answer"),
    COMFYQ_WEBHOOKS_PER_HOST: count.min(1).max(64).default(4).describe("Webhooks sent to one host at once"),
    COMFYQ_LINK_TTL_S: count.min(10).max(604_800).default(3_600).describe("Seconds a link to a file works"),
    COMFYQ_MAX_BODY_BYTES: bytes.default(10_000_000).describe("Largest body of a request with a job"),
    COMFYQ_MAX_ASSET_BYTES: bytes.default(1_073_741_824).describe("Largest file that can be uploaded"),
    COMFYQ_ASSET_TYPES: z
      .string()
      .default("")
      .describe("Content types that may be uploaded, such as image/*,video/mp4; without it all"),
    COMFYQ_ASSET_RETENTION_DAYS: z.coerce
      .number()
      .positive()
      .default(7)
      .describe("Days that an uploaded file is kept after its last use, when no kept job names it"),
    COMFYQ_EDITOR_DIR: z
      .string()
      .optional()
      .describe("Folder of the static files of ComfyUI's own editor, to be served at /; without it there is none"),
    COMFYQ_MAX_STREAMS: count.default(1_000).describe("Event streams the API keeps open at once"),
  },
  "Commands (run, jobs, watch, cancel, doctor)": CliEnv.shape,
  "One process started by hand (npm start sets these itself)": {
    COMFYUI_URL: z.string().default("http://127.0.0.1:8188").describe("The one ComfyUI a worker drives"),
    COMFYQ_WORKER_ID: z.string().optional().describe("Name of a worker; without it made of host and COMFYUI_URL"),
    COMFYQ_INSTANCE_ID: z
      .string()
      .optional()
      .describe("Name of a worker's ComfyUI, where its address does not tell it from others; one worker drives it"),
    COMFYQ_HEALTH_HOST: z
      .string()
      .default("127.0.0.1")
      .describe("Where a worker or dispatcher shows health and metrics"),
    COMFYQ_HEALTH_PORT: port.default(0).describe("Port of that; 0 picks a free one"),
    COMFYQ_PRINT_READY,
  },
} as const;

/** All settings, flat. */
const AllSettings = z.object(Object.assign({}, ...Object.values(GROUPS)) as UpShape); // the union of the groups above
const UpEnv = AllSettings.refine((settings) => repeatedAddresses(settings).length === 0, {
  path: ["COMFYUI_URLS"],
  message: "each address once; only a cloud may stand there several times, with a worker for each",
  when: areAddressesRead,
}).refine((settings) => !settings.COMFYUI_API_KEY || !settings.COMFYUI_URLS || hostOfLoneKey(settings) !== undefined, {
  path: ["COMFYUI_API_KEY"],
  message: "one host that it can be for; name them in COMFYUI_API_KEYS=host=key,host=key",
  when: areAddressesRead,
});
type Group = (typeof GROUPS)[keyof typeof GROUPS];
type KeyOf<T> = T extends unknown ? keyof T : never;
type UpShape = { [Key in KeyOf<Group>]: Extract<Group, Record<Key, unknown>>[Key] };
export type UpSettings = z.output<typeof AllSettings>;

/** A group of settings under one heading. */
export interface SettingGroup {
  readonly title: string;
  readonly settings: readonly EnvEntry[];
}

/** Reads and checks all settings. @throws EnvError with all mistakes together */
export function readSettings(env?: Readonly<Record<string, string | undefined>>): UpSettings {
  return readEnv(UpEnv, env ? { env } : {});
}

/** All settings, described, in order. */
export function settingGroups(): readonly SettingGroup[] {
  return Object.entries(GROUPS).map(([title, shape]) => ({ title, settings: describeEnv(z.object(shape)) }));
}
