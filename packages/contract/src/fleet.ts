import * as z from "zod";
import { Moment } from "./ids.ts";

/** What a GPU does, or why it does nothing. */
export const GpuState = z.enum([
  /** ComfyUI has a prompt of ours. */
  "rendering",
  /** Nobody wants anything. */
  "no_job",
  /** A job is claimed, and its inputs are not there yet. */
  "preparing",
  /** Too much that is rendered waits for the store: nothing more is begun, rather than disks filling up. */
  "storage_backlog",
  /** ComfyUI is away, in quarantine, driven by another, or being looked at. */
  "not_well",
]);
export type GpuState = z.infer<typeof GpuState>;

/** One worker and the one ComfyUI it drives, as its heartbeat told. Gone 10 s after the last beat. */
export const WorkerBeat = z
  .object({
    id: z.string(),
    pool: z.string(),
    instance: z.string().meta({ description: "ComfyUI's address, without credentials" }),
    instance_id: z
      .string()
      .nullish()
      .meta({ description: "Tells it from other ComfyUIs with the same address, such as 127.0.0.1 on each machine" }),
    state: z.enum(["starting", "idle", "rendering", "unready", "quarantined", "draining"]),
    reason: z.string().nullable().meta({ description: "Why it takes no jobs, in words" }),
    job_id: z.string().nullable(),
    storing: z.int().nonnegative().meta({ description: "Jobs rendered and still being stored" }),
    storing_bytes: z.int().nonnegative().optional().meta({ description: "Bytes of them, as far as they are known" }),
    gpu: z
      .object({
        state: GpuState,
        busy_s: z.number().nonnegative().meta({ description: "Seconds with a prompt, since the worker started" }),
        idle_s: z.record(z.string(), z.number().nonnegative()).meta({ description: "Seconds without one, by reason" }),
      })
      .optional()
      .meta({ description: "What the GPU does, or why it does nothing" }),
    comfyui_version: z.string().nullable(),
    /** sha256 of the sorted node classes; names the list kept for the submit check. */
    fingerprint: z.string().nullable(),
    /** sha256 of all that its ComfyUI tells of its node classes; names the copy kept for ComfyUI's own API. */
    object_info: z.string().nullish(),
    /** sha256 of the names of all its models; names the copy kept for ComfyUI's own API. */
    model_lists: z.string().nullish(),
    device: z.string().nullable(),
    cloud: z.boolean().nullish().meta({ description: "Is it Comfy Cloud, or another comfyq? Many may drive it then" }),
    overflow_after_s: z
      .number()
      .nullish()
      .meta({ description: "It takes only jobs that have waited so long for the others; 0: any" }),
    models: z.boolean().nullish().meta({ description: "Can it put model files into its ComfyUI's models folder?" }),
    started_at: Moment,
    beat_at: Moment,
  })
  .meta({ id: "Worker" });
export type WorkerBeat = z.infer<typeof WorkerBeat>;

/** The models an instance has: folder → names, sub-folders and all. Source: `/models`. */
export const ModelLists = z.record(z.string(), z.array(z.string()));
export type ModelLists = z.infer<typeof ModelLists>;

/** The node classes an instance knows: class_type → is it an output node? Source: `/object_info`. */
export const NodeClasses = z.record(z.string(), z.boolean());
export type NodeClasses = z.infer<typeof NodeClasses>;

/** Where something runs: an attempt, or a worker. */
export interface Place {
  /** ComfyUI's address. */
  readonly instance: string;
  readonly instance_id?: string | null | undefined;
}

/** The same ComfyUI? By id where both have one: many machines call their own 127.0.0.1. */
export function isSameInstance(a: Place, b: Place): boolean {
  return a.instance_id && b.instance_id ? a.instance_id === b.instance_id : a.instance === b.instance;
}
