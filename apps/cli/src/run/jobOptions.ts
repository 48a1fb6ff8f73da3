import type { CacheMode, NewJobBody } from "@comfyq/contract";

/** The options of a job that every command which submits some takes, as commander gives them. */
export interface JobOptions {
  readonly param?: readonly string[];
  readonly tag?: readonly string[];
  readonly webhook?: string;
  readonly pool?: string;
  readonly priority?: number;
  readonly timeout?: number;
  readonly attempts?: number;
  readonly cache?: CacheMode;
  readonly at?: string;
}

/** Their part of the body; what was not said is left to the API. */
export function jobFields(options: JobOptions): Omit<NewJobBody, "workflow"> {
  return {
    tags: [...(options.tag ?? [])],
    ...(options.webhook === undefined ? {} : { webhook: { url: options.webhook } }),
    ...(options.pool === undefined ? {} : { pool: options.pool }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
    ...(options.timeout === undefined ? {} : { timeout_s: options.timeout }),
    ...(options.attempts === undefined ? {} : { max_attempts: options.attempts }),
    ...(options.cache === undefined ? {} : { cache: options.cache }),
    ...(options.at === undefined ? {} : { run_at: options.at }),
  };
}
