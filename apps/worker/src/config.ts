import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { PoolName } from "@comfyq/contract";
import { readEnv, SHARED_SETTINGS, stripUrl } from "@comfyq/runtime";
import * as z from "zod";

/** What one worker process is told. Times in seconds, sizes in bytes. */
const WorkerEnv = z.object({
  ...SHARED_SETTINGS,
  COMFYUI_URL: z.url().default("http://127.0.0.1:8188").describe("The one ComfyUI this process drives"),
  COMFYUI_API_KEY: z.string().optional().describe("Key for Comfy Cloud, or for a proxy before ComfyUI"),
  COMFYQ_POOL: PoolName.default("default").describe("Pool whose jobs this worker takes"),
  COMFYQ_WORKER_ID: z
    .string()
    .regex(/^[\w.-]{1,100}$/)
    .optional()
    .describe("Name of this worker; must be unique"),
  COMFYQ_STALL_S: z.coerce
    .number()
    .min(0)
    .default(300)
    .describe("Silence after which a rendering prompt counts as stuck; 0 turns it off"),
  COMFYQ_MAX_INPUT_BYTES: z.coerce
    .number()
    .int()
    .positive()
    .default(1_073_741_824)
    .describe("Largest input file that is fetched"),
  COMFYQ_INPUT_TIMEOUT_S: z.coerce.number().positive().default(300).describe("Longest fetch of one input"),
  COMFYQ_STORING_MAX: z.coerce
    .number()
    .int()
    .min(1)
    .default(3)
    .describe("Rendered jobs that may wait for storage before the GPU idles"),
  COMFYQ_STORE_PATIENCE_S: z.coerce
    .number()
    .min(1)
    .default(600)
    .describe("How long a failing store is tried again before the job is"),
  COMFYQ_CANCEL_S: z.coerce
    .number()
    .min(1)
    .default(30)
    .describe("How long a prompt may take to stop after an interrupt"),
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
  /** ComfyUI's address as it may be shown. */
  readonly instanceName: string;
};

/** Reads the environment and flags. @throws EnvError with every mistake */
export function readConfig(argv: readonly string[]): WorkerConfig {
  const env = readEnv(WorkerEnv, { argv });
  const address = createHash("sha256").update(env.COMFYUI_URL).digest("hex").slice(0, 8);
  return {
    ...env,
    workerId:
      env.COMFYQ_WORKER_ID ??
      `${hostname()
        .replaceAll(/[^\w.-]/g, "-")
        .slice(0, 80)}-${address}`,
    instanceName: stripUrl(env.COMFYUI_URL).replace(/\/$/, ""),
  };
}
